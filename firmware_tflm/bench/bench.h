/* A bench is a source file that defines bench_run(). bench/main.c calls it in turn with Python, on the emulated board:
 *
 *     machine.run(until="bench_ready")      write inputs: machine.write("symbol", data)
 *     machine.run(until="bench_done")       read results: machine.read("symbol", n)
 */
#ifndef BENCH_H
#define BENCH_H

void bench_ready(void); /* empty: inputs may be written when the board comes here */
void bench_run(void);   /* defined by the bench */
void bench_done(void);  /* empty: results may be read when the board comes here */

#endif
