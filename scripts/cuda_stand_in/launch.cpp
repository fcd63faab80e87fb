// Modules, kernels and launches of the driver interface.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "stand_in.h"

namespace stand_in {

constexpr unsigned USUAL_SHARED_BYTES = 48 << 10;
constexpr unsigned MAX_THREADS = 1024;
constexpr unsigned THREADS_PER_MULTIPROCESSOR = 2048;
constexpr unsigned BLOCKS_PER_MULTIPROCESSOR = 32;

struct Function;

struct Module {
    void* library;
    std::string path;
    uint64_t base;
    Seen* seen;
    std::map<std::string, Function*> functions;
};

struct Function {
    std::string name;
    const Kernel* kernel;
    Module* module;
    unsigned shared_limit = USUAL_SHARED_BYTES;
};

struct Modules {
    std::set<void*> modules, functions;
};

static Modules& known() {
    static Modules& one = *new Modules;
    return one;
}

static Function* find_function(void* handle) {
    return known().functions.count(handle) != 0 ? static_cast<Function*>(handle) : nullptr;
}

/// A launch whose arguments are copied, as a card does when the launch is queued.
struct QueuedLaunch {
    Function* function;
    dim3 grid, block;
    unsigned shared_bytes;
    std::vector<std::vector<char>> values;
    std::vector<Allocation*> uses;
};

static void copy_arguments(QueuedLaunch& queued, void** arguments, int card) {
    const Kernel& kernel = *queued.function->kernel;
    for (unsigned i = 0; i < kernel.parameters; i++) {
        const char* first = static_cast<const char*>(arguments[i]);
        queued.values.emplace_back(first, first + kernel.sizes[i]);
        // A struct may hold pointers as well, so every aligned word is looked at.
        for (unsigned at = 0; at + 8 <= kernel.sizes[i]; at += 8) {
            uint64_t word;
            memcpy(&word, first + at, 8);
            Allocation* a = find_allocation(word);
            const bool usable = a != nullptr && a->life == Life::live && (a->pinned || a->card == card);
            if (usable) {
                queued.uses.push_back(a);
            } else if ((kernel.is_pointer[i] && word != 0) || a != nullptr) {
                Line line;
                line << "argument " << uint64_t{i} << " of kernel " << queued.function->name.c_str()
                     << " points to no live memory of its card: " << Hex{word} << ", ";
                describe_address(line, word);
                line.end_process();
            }
        }
    }
}

static void run_queued(QueuedLaunch& queued) {
    std::vector<void*> arguments;
    for (auto& value : queued.values) {
        arguments.push_back(value.data());
    }
    Function& function = *queued.function;
    const Module& module = *function.module;
    run_launch({function.kernel, module.seen, function.name.c_str(), module.path.c_str(), module.base, queued.grid, queued.block, queued.shared_bytes,
                arguments.data()});
    position.kernel = function.name.c_str();
    for (const Allocation* a : queued.uses) {
        if (a->life != Life::freed) {
            check_canaries(*a);
        }
    }
    position.kernel = nullptr;
}

static bool is_launchable(const Function& function, dim3 grid, dim3 block, unsigned shared_bytes) {
    const bool grid_fits = grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535;
    const bool block_fits = block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 && block.y <= 1024 && block.z <= 64;
    return grid_fits && block_fits && block.x * block.y * block.z <= function.kernel->max_threads && shared_bytes <= function.shared_limit;
}

static Result load(void** module, const char* image) {
    static const char start[] = "// cuda stand-in\n";
    if (strncmp(image, start, sizeof start - 1) != 0) {
        return INVALID_PTX;
    }
    const std::string text = image + sizeof start - 1;
    const std::string path = text.substr(0, text.find('\n'));
    const size_t architecture = text.find("compute_");
    if (architecture != std::string::npos && atoi(text.c_str() + architecture + 8) > settings().capability) {
        return NO_BINARY_FOR_GPU;
    }
    // Never closed: queued launches may outlive the module.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        (Line() << "cannot load a compiled kernel: " << dlerror()).print();
        return INVALID_PTX;
    }
    auto* connect = reinterpret_cast<Seen* (*)(const Hooks*)>(dlsym(library, "stand_in_connect"));
    Dl_info place;
    dladdr(reinterpret_cast<void*>(connect), &place);
    *module = new Module{library, path, reinterpret_cast<uint64_t>(place.dli_fbase), connect(&HOOKS), {}};
    known().modules.insert(*module);
    return SUCCESS;
}

/// Blocks that fit a multiprocessor by threads and shared memory; registers are not known here.
static int blocks_per_multiprocessor(const Function& function, int threads, size_t shared_bytes) {
    if (threads < 1 || threads > static_cast<int>(function.kernel->max_threads) || shared_bytes > function.shared_limit) {
        return 0;
    }
    // A block's shared memory costs 1 KiB more than it asks for.
    const size_t room = max_shared_bytes() + 1024;
    const size_t by_memory = room / (shared_bytes + 1024);
    const size_t by_threads = THREADS_PER_MULTIPROCESSOR / (static_cast<unsigned>(threads + 31) / 32 * 32);
    return static_cast<int>(std::min({by_memory, by_threads, size_t{BLOCKS_PER_MULTIPROCESSOR}}));
}

extern "C" {

Result cuDeviceGetAttribute(int* value, int which, int device);

Result cuModuleLoadData(void** module, const void* image) {
    return in_context([&] { return load(module, static_cast<const char*>(image)); });
}

Result cuModuleLoad(void** module, const char* path) {
    return in_context([&] {
        std::ifstream file(path);
        if (!file) {
            return FILE_NOT_FOUND;
        }
        std::stringstream text;
        text << file.rdbuf();
        return load(module, text.str().c_str());
    });
}

Result cuModuleUnload(void* module) {
    return in_context([&] {
        if (known().modules.erase(module) == 0) {
            return INVALID_HANDLE;
        }
        for (auto& [name, function] : static_cast<Module*>(module)->functions) {
            known().functions.erase(function);
        }
        return SUCCESS;
    });
}

Result cuModuleGetFunction(void** function, void* handle, const char* name) {
    return in_context([&] {
        if (known().modules.count(handle) == 0) {
            return INVALID_HANDLE;
        }
        auto* module = static_cast<Module*>(handle);
        Function*& entry = module->functions[name];
        if (entry == nullptr) {
            void* kernel = dlsym(module->library, (std::string("stand_in_kernel_") + name).c_str());
            if (kernel == nullptr) {
                module->functions.erase(name);
                return NOT_FOUND;
            }
            entry = new Function{name, static_cast<const Kernel*>(kernel), module};
            known().functions.insert(entry);
        }
        *function = entry;
        return SUCCESS;
    });
}

Result cuModuleGetGlobal_v2(uint64_t*, size_t*, void*, const char*) { return NOT_FOUND; }

Result cuFuncGetAttribute(int* value, int attribute, void* handle) {
    return in_context([&] {
        const Function* function = find_function(handle);
        if (function == nullptr) {
            return INVALID_HANDLE;
        }
        switch (attribute) {
            case 0: *value = static_cast<int>(function->kernel->max_threads); break;
            // Registers depend on NVIDIA's compiler; this is only a number that no limit meets.
            case 4: *value = 32; break;
            case 5: case 6: *value = settings().capability; break;
            case 8: *value = static_cast<int>(function->shared_limit); break;
            default: *value = 0;
        }
        return SUCCESS;
    });
}

Result cuFuncSetAttribute(void* handle, int attribute, int value) {
    constexpr int MAX_DYNAMIC_SHARED = 8, CARVEOUT = 9;
    return in_context([&] {
        Function* function = find_function(handle);
        if (function == nullptr) {
            return INVALID_HANDLE;
        }
        if (attribute == MAX_DYNAMIC_SHARED && value >= 0 && static_cast<unsigned>(value) <= max_shared_bytes()) {
            function->shared_limit = static_cast<unsigned>(value);
            return SUCCESS;
        }
        return attribute == CARVEOUT ? SUCCESS : INVALID_VALUE;
    });
}

Result cuFuncSetCacheConfig(void* handle, int) {
    return in_context([&] { return find_function(handle) == nullptr ? INVALID_HANDLE : SUCCESS; });
}

Result cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* handle, int threads, size_t shared_bytes, unsigned) {
    return in_context([&] {
        const Function* function = find_function(handle);
        if (function == nullptr) {
            return INVALID_HANDLE;
        }
        *blocks = blocks_per_multiprocessor(*function, threads, shared_bytes);
        return SUCCESS;
    });
}

Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* handle, int threads, size_t shared_bytes) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, threads, shared_bytes, 0);
}

/// The largest block that fills a multiprocessor best, and the blocks that fill the card.
Result cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, void* handle, size_t (*shared_of)(int), size_t shared_bytes, int limit,
                                                 unsigned) {
    constexpr int MULTIPROCESSORS = 16;
    return in_context([&] {
        const Function* function = find_function(handle);
        if (function == nullptr) {
            return INVALID_HANDLE;
        }
        const int most = static_cast<int>(function->kernel->max_threads);
        int best = 0;
        for (int threads = (limit > 0 ? std::min(limit, most) : most) / 32 * 32; threads >= 32; threads -= 32) {
            const int blocks = blocks_per_multiprocessor(*function, threads, shared_of != nullptr ? shared_of(threads) : shared_bytes);
            if (blocks * threads > best) {
                best = blocks * threads;
                *block = threads;
                int multiprocessors = 0;
                cuDeviceGetAttribute(&multiprocessors, MULTIPROCESSORS, current_card());
                *grid = blocks * multiprocessors;
            }
        }
        return best == 0 ? INVALID_VALUE : SUCCESS;
    });
}

Result cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void* handle, size_t (*shared_of)(int), size_t shared_bytes, int limit) {
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, handle, shared_of, shared_bytes, limit, 0);
}

Result cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, void* handle, int blocks, int) {
    return in_context([&] {
        const Function* function = find_function(handle);
        if (function == nullptr || blocks < 1) {
            return INVALID_VALUE;
        }
        const size_t share = (max_shared_bytes() + 1024) / static_cast<size_t>(blocks);
        *bytes = std::min(size_t{function->shared_limit}, share - std::min(share, size_t{1024}));
        return SUCCESS;
    });
}

Result cuLaunchKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                      unsigned block_z, unsigned shared_bytes, void* stream_handle, void** arguments, void** extra) {
    return in_context([&] {
        Function* function = find_function(handle);
        Stream* stream = find_stream(stream_handle);
        if (function == nullptr || stream == nullptr) {
            return INVALID_HANDLE;
        }
        const dim3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
        if (extra != nullptr || !is_launchable(*function, grid, block, shared_bytes)) {
            return INVALID_VALUE;
        }
        auto queued = std::make_shared<QueuedLaunch>(QueuedLaunch{function, grid, block, shared_bytes, {}, {}});
        copy_arguments(*queued, arguments, stream->card);
        enqueue(*stream, function->name.c_str(), queued->uses, [queued] { run_queued(*queued); });
        return SUCCESS;
    });
}

}  // extern "C"

}  // namespace stand_in
