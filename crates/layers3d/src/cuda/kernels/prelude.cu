// What all kernels share. Volumes are (b, x, y, z, c), channels last; rows are the voxels of all samples. Every sum has a fixed
// order, so that results do not depend on how blocks are scheduled. Whoever compiles this for volumes in bfloat16 defines
// FINESCALE_BF16.

// A host that stands in for a card brings its own.
#ifndef FINESCALE_STAND_IN
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    return reinterpret_cast<T*>(shared_bytes);
}

#if __CUDA_ARCH__ >= 800

// d += a b on tensor cores, in TF32 with f32 sums; fragments as in the PTX ISA, mma.m16n8k8.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d += a b on tensor cores, in bfloat16 with f32 sums; fragments as in the PTX ISA, mma.m16n8k16.
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 by 8 values of 16 bits out of shared memory; lanes 8 i to 8 i + 7 give the rows of the i-th.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// The same, each transposed.
__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

// The bits of the nearest bfloat16, of two the even one; NaN stays NaN.
__device__ __forceinline__ unsigned short to_bf16(float value) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// Copies 16 bytes to shared memory, or zeros; they are there after copy_async_wait and a barrier.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}

__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most so many of this thread's groups of copies are under way.
template <int GROUPS>
__device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

#endif
#endif

// What values of volumes are kept as. Kernels compute with them in f32.
#ifdef FINESCALE_BF16
struct Value {
    unsigned short bits;

    __device__ __forceinline__ operator float() const { return __uint_as_float(static_cast<unsigned>(bits) << 16); }

    __device__ __forceinline__ Value& operator=(float value) {
        bits = to_bf16(value);
        return *this;
    }
};
#else
using Value = float;
#endif

// Neighbours in memory that a thread reads or writes at once; they start at a multiple of their number.
template <class T, int N>
struct alignas(N * sizeof(T)) Several {
    T of[N];
};

template <int N, class T>
__device__ __forceinline__ Several<T, N>& several(T* first) {
    return *reinterpret_cast<Several<T, N>*>(first);
}

template <int N, class T>
__device__ __forceinline__ const Several<T, N>& several(const T* first) {
    return *reinterpret_cast<const Several<T, N>*>(first);
}

// How many neighbouring channels a thread maps, where their numbers are multiples of it.
static const int QUAD = 4;

__device__ __forceinline__ long long thread_number() {
    return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ long long all_threads() {
    return static_cast<long long>(gridDim.x) * blockDim.x;
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// d (x sigmoid(x)) / dx.
__device__ __forceinline__ float silu_slope(float x) {
    float s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}
