# JupyterLab with the lessons, for a server: docker build -t xorlab . && docker run -p 8888:8888 xorlab
# Not built by this project's checks, which have no Docker.
FROM python:3.12-slim
COPY . /xorlab
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c /xorlab/constraints.txt /xorlab && useradd --create-home student
USER student
WORKDIR /home/student
RUN xorlab lessons work
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--ServerApp.root_dir=/home/student/work"]
