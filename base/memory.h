/*
 * base/memory.h: what the process holds of the machine's memory.
 */
#ifndef SL_BASE_MEMORY_H
#define SL_BASE_MEMORY_H

#include <stddef.h>

/*
 * Gives back what an idle process does not need: free blocks of the allocator, and the pages of code and constants of the program
 * and its libraries. Those are mapped from files and unchanged, so the kernel brings back what is used again from its cache, at
 * about a microsecond for each 64 KiB (breakpoints of a debugger go with them). Any thread, at any time; nothing can fail. Returns how many bytes of mappings were let go.
 * Source: madvise(2), MADV_DONTNEED on private mappings of files; dl_iterate_phdr(3).
 */
size_t sl_memory_give_back(void);

#endif
