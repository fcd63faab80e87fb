// What CUDA C++ gives a kernel, for the host's compiler: as much as this project's kernels use. The card's run-time
// compiler puts it in front of every source.
#pragma once
#define FINESCALE_STAND_IN 1

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel_interface.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

#include "device_faults.h"

// The thread's place.

namespace stand_in {
inline Seen seen;
}
static const uint3& threadIdx = stand_in::seen.thread;
static const uint3& blockIdx = stand_in::seen.block;
static const dim3& blockDim = stand_in::seen.block_dim;
static const dim3& gridDim = stand_in::seen.grid_dim;
constexpr int warpSize = 32;

extern "C" __attribute__((visibility("default"))) stand_in::Seen* stand_in_connect(const stand_in::Hooks* card) {
    stand_in::hooks = card;
    return &stand_in::seen;
}

/// The block's dynamic shared memory.
template <class T>
__device__ T* dynamic_shared() {
    return static_cast<T*>(stand_in::seen.shared);
}

// Vector types, aligned as on a card: a misaligned access is an error there and here.

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct int3 { int x, y, z; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(4) ushort2 { unsigned short x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }

// Bits.

namespace stand_in {
template <class To, class From>
inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "as many bits on both sides");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}
}  // namespace stand_in

inline unsigned __float_as_uint(float v) { return stand_in::bits<unsigned>(v); }
inline int __float_as_int(float v) { return stand_in::bits<int>(v); }
inline float __uint_as_float(unsigned v) { return stand_in::bits<float>(v); }
inline float __int_as_float(int v) { return stand_in::bits<float>(v); }
inline long long __double_as_longlong(double v) { return stand_in::bits<long long>(v); }
inline double __longlong_as_double(long long v) { return stand_in::bits<double>(v); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v)); }
inline int __clzll(long long v) { return v == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(v)); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32); }
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<long long>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}

// Arithmetic.

inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long min(long a, long b) { return b < a ? b : a; }
inline long max(long a, long b) { return a < b ? b : a; }
inline unsigned long min(unsigned long a, unsigned long b) { return b < a ? b : a; }
inline unsigned long max(unsigned long a, unsigned long b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return b < a ? b : a; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a < b ? b : a; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float v) { return static_cast<float>(1.0 / sqrt(static_cast<double>(v))); }
inline double rsqrt(double v) { return 1.0 / sqrt(v); }
inline float __expf(float v) { return expf(v); }
inline float __exp10f(float v) { return powf(10.0f, v); }
inline float __logf(float v) { return logf(v); }
inline float __log2f(float v) { return log2f(v); }
inline float __sinf(float v) { return sinf(v); }
inline float __cosf(float v) { return cosf(v); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float v) { return 1.0f / v; }
inline float __fsqrt_rn(float v) { return sqrtf(v); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __saturatef(float v) { return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f; }
inline int __float2int_rn(float v) { return static_cast<int>(rintf(v)); }
inline int __float2int_rd(float v) { return static_cast<int>(floorf(v)); }
inline int __float2int_rz(float v) { return static_cast<int>(v); }
inline float __int2float_rn(int v) { return static_cast<float>(v); }
inline float __uint2float_rn(unsigned v) { return static_cast<float>(v); }

// These are never joined into a fused multiply-add; the empty assembly hides the result from the compiler.
inline float __fmul_rn(float a, float b) {
    float product = a * b;
    asm("" : "+x"(product));
    return product;
}
inline float __fadd_rn(float a, float b) {
    asm("" : "+x"(a), "+x"(b));
    return a + b;
}

// Exact where the angle is a multiple of a quarter turn, as on a card.
inline double stand_in_sinpi(double v) {
    double r = v - 2.0 * rint(v / 2.0);
    if (r > 0.5) {
        r = 1.0 - r;
    } else if (r < -0.5) {
        r = -1.0 - r;
    }
    return sin(M_PI * r);
}
inline float sinpif(float v) { return static_cast<float>(stand_in_sinpi(v)); }
inline float cospif(float v) { return static_cast<float>(stand_in_sinpi(0.5 - fabs(v - 2.0 * rint(v / 2.0)))); }
inline void sincospif(float v, float* sine, float* cosine) {
    *sine = sinpif(v);
    *cosine = cospif(v);
}

template <class T>
inline T __ldg(const T* address) {
    return *address;
}

// Atomics: one thread runs at a time, so plain arithmetic is enough.

namespace stand_in {
/// Out of the race check's sight, which takes every access it sees for a plain one.
template <class T, class Change>
__attribute__((no_sanitize("thread"))) inline T change(T* address, Change to) {
    const T old = *address;
    *address = to(old);
    return old;
}
template <class T>
inline T add(T* address, T value) {
    return change(address, [value](T old) { return old + value; });
}
template <class T>
inline T larger(T* address, T value) {
    return change(address, [value](T old) { return max(old, value); });
}
template <class T>
inline T smaller(T* address, T value) {
    return change(address, [value](T old) { return min(old, value); });
}
template <class T>
inline T exchange(T* address, T value) {
    return change(address, [value](T) { return value; });
}
template <class T>
inline T compare_and_swap(T* address, T expected, T value) {
    return change(address, [expected, value](T old) { return old == expected ? value : old; });
}
}  // namespace stand_in

inline int atomicAdd(int* p, int v) {
    // The sum of an int wraps on a card.
    return stand_in::change(p, [v](int old) { return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(v)); });
}
inline unsigned atomicAdd(unsigned* p, unsigned v) { return stand_in::add(p, v); }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) { return stand_in::add(p, v); }
inline float atomicAdd(float* p, float v) { return stand_in::add(p, v); }
inline double atomicAdd(double* p, double v) { return stand_in::add(p, v); }
inline int atomicMax(int* p, int v) { return stand_in::larger(p, v); }
inline unsigned atomicMax(unsigned* p, unsigned v) { return stand_in::larger(p, v); }
inline unsigned long long atomicMax(unsigned long long* p, unsigned long long v) { return stand_in::larger(p, v); }
inline int atomicMin(int* p, int v) { return stand_in::smaller(p, v); }
inline unsigned atomicMin(unsigned* p, unsigned v) { return stand_in::smaller(p, v); }
inline unsigned atomicOr(unsigned* p, unsigned v) {
    return stand_in::change(p, [v](unsigned old) { return old | v; });
}
inline unsigned atomicAnd(unsigned* p, unsigned v) {
    return stand_in::change(p, [v](unsigned old) { return old & v; });
}
inline int atomicExch(int* p, int v) { return stand_in::exchange(p, v); }
inline unsigned atomicExch(unsigned* p, unsigned v) { return stand_in::exchange(p, v); }
inline float atomicExch(float* p, float v) { return stand_in::exchange(p, v); }
inline int atomicCAS(int* p, int expected, int v) { return stand_in::compare_and_swap(p, expected, v); }
inline unsigned atomicCAS(unsigned* p, unsigned expected, unsigned v) { return stand_in::compare_and_swap(p, expected, v); }
inline unsigned long long atomicCAS(unsigned long long* p, unsigned long long expected, unsigned long long v) {
    return stand_in::compare_and_swap(p, expected, v);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

#include "device_warp.h"

// What the card needs to know of a kernel.

namespace stand_in {

template <size_t... I>
struct Numbers {};
template <size_t N, size_t... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I>
struct Count<0, I...> {
    using Type = Numbers<I...>;
};

template <class T>
constexpr bool is_pointer = false;
template <class T>
constexpr bool is_pointer<T*> = true;

template <auto function>
struct Entry;
template <class... P, void (*function)(P...)>
struct Entry<function> {
    // The zero keeps the arrays of a kernel without parameters from being empty.
    static constexpr unsigned sizes[] = {sizeof(P)..., 0};
    static constexpr bool pointers[] = {is_pointer<P>..., false};

    template <size_t... I>
    static void call_with(void** arguments, Numbers<I...>) {
        function(*static_cast<P*>(arguments[I])...);
    }
    static void call(void** arguments) { call_with(arguments, typename Count<sizeof...(P)>::Type()); }
};

template <auto function, class... P>
constexpr Kernel describe(void (*)(P...), unsigned max_threads) {
    return {Entry<function>::call, sizeof...(P), Entry<function>::sizes, Entry<function>::pointers, max_threads};
}

}  // namespace stand_in
