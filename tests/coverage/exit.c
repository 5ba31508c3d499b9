/* SPDX-License-Identifier: MIT
 *
 * exit.c -- what was covered is written at _exit(), too, which skips what the compiler left to be
 * done at exit(): children after fork end like that.  Linked with --wrap=_exit by `make coverage`.
 */
int __llvm_profile_write_file(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

void __wrap__exit(int status)
{
    (void)__llvm_profile_write_file(); /* if it cannot be written there is less to see */
    __real__exit(status);
}
