// What all kernels share. Volumes are (b, x, y, z, c), channels last; rows are the voxels of all samples. Every sum has a fixed
// order, so that results do not depend on how blocks are scheduled.

// A host that stands in for a card brings its own.
#ifndef FINESCALE_STAND_IN
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    return reinterpret_cast<T*>(shared_bytes);
}
#endif

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
