/*
 * base/cpu.h: code that is compiled once for each level of the processor's vector instructions, and chosen when it runs.
 *
 * Such a source names its functions SL_LEVEL_NAME(f): the build compiles it as f_base (any processor), f_avx2 and f_avx512 (x86-64;
 * see connectors/CMakeLists.txt). Its header says SL_LEVELS_DECLARE(return type, f, parameters); SL_LEVEL_PICK(f) is the best that runs here.
 */
#pragma once

typedef enum sl_cpu { SL_CPU_BASE, SL_CPU_AVX2, SL_CPU_AVX512 } sl_cpu;

/* Any thread. */
static inline sl_cpu sl_cpu_level(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi")
        && __builtin_cpu_supports("avx512vbmi2"))
        return SL_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
        return SL_CPU_AVX2;
#endif
    return SL_CPU_BASE;
}

#if defined(SL_LEVEL)
#define SL_LEVEL_JOIN2(f, level) f##_##level
#define SL_LEVEL_JOIN(f, level) SL_LEVEL_JOIN2(f, level)
#define SL_LEVEL_NAME(f) SL_LEVEL_JOIN(f, SL_LEVEL)
#endif

#if defined(__x86_64__)
#define SL_LEVELS_DECLARE(type, f, parameters) \
    type f##_base parameters;                  \
    type f##_avx2 parameters;                  \
    type f##_avx512 parameters
#define SL_LEVEL_PICK(f) (sl_cpu_level() == SL_CPU_AVX512 ? f##_avx512 : sl_cpu_level() == SL_CPU_AVX2 ? f##_avx2 : f##_base)
#else
#define SL_LEVELS_DECLARE(type, f, parameters) type f##_base parameters
#define SL_LEVEL_PICK(f) f##_base
#endif
