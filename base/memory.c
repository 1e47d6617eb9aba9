/* base/memory.c: memory that an idle process gives back. See memory.h. */
#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Only whole pages of segments that nobody may write: a written page of a private mapping would be lost. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *dropped)
{
    (void)size;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || (h->p_flags & PF_W) != 0)
            continue;
        uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1), to = (info->dlpi_addr + h->p_vaddr + h->p_filesz) & ~(page - 1);
        if (to > from && madvise((void *)from, to - from, MADV_DONTNEED) == 0) /* NOLINT(performance-no-int-to-ptr): addresses of the loader */
            *(size_t *)dropped += to - from;
    }
    return 0;
}

size_t sl_memory_give_back(void)
{
    size_t dropped = 0;
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(drop_segments, &dropped);
    return dropped;
}
