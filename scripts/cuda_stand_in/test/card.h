// The driver, compiler and cuDNN functions that the self-tests call, and short words for what they do often.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuCtxSynchronize();
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamWaitEvent(void*, void*, unsigned);
int cuStreamDestroy_v2(void*);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuEventQuery(void*);
int cuEventSynchronize(void*);
int cuMemAlloc_v2(uint64_t*, size_t);
int cuMemAllocAsync(uint64_t*, size_t, void*);
int cuMemFree_v2(uint64_t);
int cuMemFreeAsync(uint64_t, void*);
int cuMemGetInfo_v2(size_t*, size_t*);
int cuMemcpyHtoD_v2(uint64_t, const void*, size_t);
int cuMemcpyDtoH_v2(void*, uint64_t, size_t);
int cuMemcpyHtoDAsync_v2(uint64_t, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*);
int cuMemsetD8Async(uint64_t, unsigned char, size_t, void*);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int nvrtcCreateProgram(void**, const char*, const char*, int, const char* const*, const char* const*);
int nvrtcCompileProgram(void*, int, const char* const*);
int nvrtcGetPTXSize(void*, size_t*);
int nvrtcGetPTX(void*, char*);
int nvrtcGetProgramLogSize(void*, size_t*);
int nvrtcGetProgramLog(void*, char*);
int nvrtcDestroyProgram(void**);
int cudnnCreate(void**);
int cudnnSetStream(void*, void*);
int cudnnCreateTensorDescriptor(void**);
int cudnnSetTensorNdDescriptor(void*, int, int, const int*, const int*);
int cudnnCreateFilterDescriptor(void**);
int cudnnSetFilterNdDescriptor(void*, int, int, int, const int*);
int cudnnCreateConvolutionDescriptor(void**);
int cudnnSetConvolutionNdDescriptor(void*, int, const int*, const int*, const int*, int, int);
int cudnnSetConvolutionGroupCount(void*, int);
int cudnnGetConvolutionForwardWorkspaceSize(void*, void*, void*, void*, void*, int, size_t*);
int cudnnGetConvolutionBackwardDataWorkspaceSize(void*, void*, void*, void*, void*, int, size_t*);
int cudnnGetConvolutionBackwardFilterWorkspaceSize(void*, void*, void*, void*, void*, int, size_t*);
int cudnnConvolutionForward(void*, const void*, void*, uint64_t, void*, uint64_t, void*, int, uint64_t, size_t, const void*, void*, uint64_t);
int cudnnConvolutionBackwardData(void*, const void*, void*, uint64_t, void*, uint64_t, void*, int, uint64_t, size_t, const void*, void*, uint64_t);
int cudnnConvolutionBackwardFilter(void*, const void*, void*, uint64_t, void*, uint64_t, void*, int, uint64_t, size_t, const void*, void*, uint64_t);
int cudnnConvolutionBackwardBias(void*, const void*, void*, uint64_t, const void*, void*, uint64_t);
int cudnnAddTensor(void*, const void*, void*, uint64_t, const void*, void*, uint64_t);
}

constexpr int INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, BAD_PARAM = 2000;
constexpr unsigned NON_BLOCKING = 1;

/// Ends the test with exit code 1 unless the condition holds.
inline void expect(bool condition, const std::string& what) {
    if (!condition) {
        printf("FAILED: %s\n", what.c_str());
        exit(1);
    }
}

/// For calls that have to succeed.
inline void must(int result, const char* call) { expect(result == 0, std::string(call) + " gave " + std::to_string(result)); }

inline void open_card() {
    void* context;
    must(cuInit(0), "cuInit");
    must(cuDevicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

inline void* new_stream() {
    void* stream;
    must(cuStreamCreate(&stream, NON_BLOCKING), "cuStreamCreate");
    return stream;
}

inline std::string compile(const std::string& source, const char* architecture) {
    void* program;
    must(nvrtcCreateProgram(&program, source.c_str(), "test.cu", 0, nullptr, nullptr), "nvrtcCreateProgram");
    const int compiled = nvrtcCompileProgram(program, 1, &architecture);
    size_t size;
    nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    nvrtcGetProgramLog(program, log.data());
    log.pop_back();
    expect(compiled == 0, "compilation:\n" + log);
    nvrtcGetPTXSize(program, &size);
    std::string ptx(size, '\0');
    nvrtcGetPTX(program, ptx.data());
    nvrtcDestroyProgram(&program);
    return ptx;
}

inline void* kernel(const std::string& source, const char* name) {
    void *module, *function;
    must(cuModuleLoadData(&module, compile(source, "--gpu-architecture=compute_80").c_str()), "cuModuleLoadData");
    must(cuModuleGetFunction(&function, module, name), "cuModuleGetFunction");
    return function;
}

struct Size {
    unsigned blocks, threads, shared_bytes = 0;
};

template <class... Arguments>
int try_launch(void* function, Size size, void* stream, Arguments... arguments) {
    void* pointers[] = {&arguments..., nullptr};
    return cuLaunchKernel(function, size.blocks, 1, 1, size.threads, 1, 1, size.shared_bytes, stream, pointers, nullptr);
}

template <class... Arguments>
void launch(void* function, Size size, void* stream, Arguments... arguments) {
    must(try_launch(function, size, stream, arguments...), "cuLaunchKernel");
}

inline uint64_t device_bytes(size_t bytes) {
    uint64_t address;
    must(cuMemAlloc_v2(&address, bytes), "cuMemAlloc");
    return address;
}

template <class T>
uint64_t device_copy(const std::vector<T>& values) {
    const uint64_t address = device_bytes(values.size() * sizeof(T));
    must(cuMemcpyHtoD_v2(address, values.data(), values.size() * sizeof(T)), "cuMemcpyHtoD");
    return address;
}

/// Waits for the whole card first.
template <class T>
std::vector<T> host_copy(uint64_t address, size_t count) {
    std::vector<T> values(count);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    must(cuMemcpyDtoH_v2(values.data(), address, count * sizeof(T)), "cuMemcpyDtoH");
    return values;
}

/// Small whole numbers, exact in bf16 and tf32.
inline std::vector<float> some_numbers(size_t count, unsigned seed) {
    std::vector<float> values(count);
    for (float& value : values) {
        seed = seed * 1664525 + 1013904223;
        value = static_cast<float>(static_cast<int>(seed >> 24) % 17 - 8);
    }
    return values;
}
