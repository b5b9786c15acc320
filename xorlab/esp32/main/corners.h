/* The four corners of XOR and what the net must answer there. */
#ifndef CORNERS_H
#define CORNERS_H

#include <stdint.h>

typedef struct {
    int8_t input[2];    /* codes */
    int8_t output;      /* the code that the net gave when this file was made */
    int label;          /* 0 or 1 */
} corner_t;

extern const corner_t corners[4];

/* Run the net on a corner and return its output code. */
int8_t corner_answer(int i);

/* Return the class that an output code stands for: 1 above one half, else 0. */
int corner_class(int8_t code);

/* Return on how many of the four corners code and class are as they must be. */
int corners_right(void);

#endif
