// Initialisation, cards and contexts of the driver interface.
#include <cstdio>
#include <cstring>

#include "stand_in.h"

namespace stand_in {

constexpr int MAX_CARDS = 16;

struct Context {
    int card;
    bool primary;
};

static bool initialized = false;
static Context primaries[MAX_CARDS];
static thread_local Context* current_context = nullptr;

std::recursive_mutex& card_lock() {
    static std::recursive_mutex& one = *new std::recursive_mutex;
    return one;
}

int current_card() { return current_context == nullptr ? -1 : current_context->card; }

static Result check_card(int card) {
    if (!initialized) {
        return NOT_INITIALIZED;
    }
    return card >= 0 && card < settings().cards ? SUCCESS : INVALID_DEVICE;
}

static int attribute(int which) {
    const Settings& s = settings();
    const bool hopper = s.capability >= 90;
    const int shared = static_cast<int>(max_shared_bytes());
    switch (which) {
        case 1: case 2: case 3: return 1024;           // threads per block, block sizes
        case 4: return 64;
        case 5: return 0x7FFFFFFF;                     // grid sizes
        case 6: case 7: return 65535;
        case 8: return 48 << 10;                       // shared memory per block
        case 9: return 64 << 10;                       // constant memory
        case 10: return 32;                            // warp
        case 11: return 0x7FFFFFFF;                    // pitch
        case 12: case 82: return 65536;                // registers per block, per multiprocessor
        case 13: return hopper ? 1980000 : 1410000;    // clock in kHz
        case 14: return 512;                           // texture alignment
        case 16: return hopper ? 132 : 108;            // multiprocessors
        case 36: return hopper ? 2619000 : 1215000;    // memory clock in kHz
        case 37: return 5120;                          // bus width
        case 38: return (hopper ? 50 : 40) << 20;      // L2 cache
        case 39: return 2048;                          // threads per multiprocessor
        case 40: return 3;                             // copy engines
        case 15: case 19: case 31: case 32: case 41: case 78: case 79: case 80: return 1;
        case 75: return s.capability / 10;
        case 76: return s.capability % 10;
        case 81: return shared + 1024;                 // shared memory per multiprocessor
        case 97: return shared;                        // shared memory per block at most
        case 106: return 32;                           // blocks per multiprocessor
        case 111: return 1024;                         // shared memory that every block loses
        case 115: return 1;                            // memory pools, so asynchronous allocation
        default: return 0;
    }
}

extern "C" {

Result cuInit(unsigned) {
    std::lock_guard<std::recursive_mutex> hold(card_lock());
    if (settings().cards < 1) {
        return NO_DEVICE;
    }
    if (settings().cards > MAX_CARDS) {
        (Line() << "FINESCALE_STAND_IN_CARDS is more than " << uint64_t{MAX_CARDS}).end_process();
    }
    if (!initialized) {
        install_fault_handler();
        for (int card = 0; card < MAX_CARDS; card++) {
            primaries[card] = {card, true};
        }
        initialized = true;
    }
    return SUCCESS;
}

Result cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

Result cuDeviceGetCount(int* count) {
    *count = settings().cards;
    return initialized ? SUCCESS : NOT_INITIALIZED;
}

Result cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return check_card(ordinal);
}

Result cuDeviceGetName(char* name, int length, int device) {
    const Result result = check_card(device);
    if (result == SUCCESS) {
        snprintf(name, static_cast<size_t>(length), "CUDA stand-in card");
    }
    return result;
}

Result cuDeviceGetUuid_v2(char* uuid, int device) {
    const Result result = check_card(device);
    if (result == SUCCESS) {
        memcpy(uuid, "stand-in card   ", 16);
        uuid[15] = static_cast<char>('0' + device);
    }
    return result;
}

Result cuDeviceTotalMem_v2(size_t* bytes, int device) {
    *bytes = settings().memory_bytes;
    return check_card(device);
}

Result cuDeviceGetAttribute(int* value, int which, int device) {
    const Result result = check_card(device);
    if (result != SUCCESS) {
        return result;
    }
    if (which < 1 || which > 152) {
        return INVALID_VALUE;
    }
    *value = attribute(which);
    return SUCCESS;
}

Result cuDevicePrimaryCtxRetain(void** context, int device) {
    const Result result = check_card(device);
    if (result == SUCCESS) {
        *context = &primaries[device];
    }
    return result;
}

/// The context stays usable: what a last release destroys, a program should have freed before.
Result cuDevicePrimaryCtxRelease_v2(int device) { return check_card(device); }

Result cuCtxCreate_v4(void** context, void*, unsigned, int device) {
    const Result result = check_card(device);
    if (result == SUCCESS) {
        *context = new Context{device, false};
        current_context = static_cast<Context*>(*context);
    }
    return result;
}

Result cuCtxDestroy_v2(void* context) {
    auto* destroyed = static_cast<Context*>(context);
    if (destroyed == nullptr || destroyed->primary) {
        return INVALID_CONTEXT;
    }
    if (current_context == destroyed) {
        current_context = nullptr;
    }
    delete destroyed;
    return SUCCESS;
}

Result cuCtxSetCurrent(void* context) {
    current_context = static_cast<Context*>(context);
    return initialized ? SUCCESS : NOT_INITIALIZED;
}

Result cuCtxGetCurrent(void** context) {
    *context = current_context;
    return initialized ? SUCCESS : NOT_INITIALIZED;
}

Result cuCtxGetDevice(int* device) {
    return in_context([&] {
        *device = current_card();
        return SUCCESS;
    });
}

Result cuCtxSetFlags(unsigned) {
    return in_context([] { return SUCCESS; });
}

}  // extern "C"

struct ErrorText {
    Result code;
    const char *name, *text;
};

static const ErrorText ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static const ErrorText* find_error(Result code) {
    for (const ErrorText& error : ERRORS) {
        if (error.code == code) {
            return &error;
        }
    }
    return nullptr;
}

extern "C" {

Result cuGetErrorName(Result code, const char** name) {
    const ErrorText* error = find_error(code);
    *name = error == nullptr ? nullptr : error->name;
    return error == nullptr ? INVALID_VALUE : SUCCESS;
}

Result cuGetErrorString(Result code, const char** text) {
    const ErrorText* error = find_error(code);
    *text = error == nullptr ? nullptr : error->text;
    return error == nullptr ? INVALID_VALUE : SUCCESS;
}

}  // extern "C"

}  // namespace stand_in
