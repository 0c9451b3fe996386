/* A generated network on this computer: inputs come in on stdin one after the other, outputs go out on stdout. */
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

int main(void)
{
    void *input = malloc(NETWORK_INPUT_BYTES); /* exactly as long as that, for the address sanitizer */
    void *output = malloc(NETWORK_OUTPUT_BYTES);
    if (!input || !output) {
        return 2;
    }
    while (fread(input, NETWORK_INPUT_BYTES, 1, stdin) == 1) {
        network_run(input, output);
        if (fwrite(output, NETWORK_OUTPUT_BYTES, 1, stdout) != 1) {
            return 2;
        }
    }
    free(input);
    free(output);
    return 0;
}
