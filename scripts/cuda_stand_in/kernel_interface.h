// What a compiled kernel and the stand-in card agree on. Both sides include this file; it needs nothing else.
#pragma once
#include <cstddef>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace stand_in {

/// What the thread that runs now sees; the card writes it before every switch to another thread.
struct Seen {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    void* shared;
};

/// One value of up to 32 bytes from every lane of a warp that took part in a collective.
struct Gathered {
    unsigned present;
    alignas(32) unsigned char values[32][32];
    /// Room for what the first lane that goes on works out for all: a product of 16 rows.
    bool worked_out;
    typedef float Eight __attribute__((vector_size(32)));
    Eight product[16];
};

/// What a kernel may ask of the card. `line` is the line of the kernel's source that asks.
struct Hooks {
    void (*barrier)(int line);
    /// Waits for all lanes of `mask`. With `whole_warp`, a lane that has ended is an error, too.
    Gathered* (*gather)(const char* what, unsigned mask, int line, const void* mine, size_t bytes, bool whole_warp);
    void (*copy_async)(void* shared, const void* global, bool valid);
    void (*copy_async_commit)();
    void (*copy_async_wait)(int groups_left);
    void (*require_shared)(const char* what, const void* address, size_t bytes);
    /// Every access to memory, in a kernel compiled to look for races.
    void (*access)(const void* address, size_t bytes, bool write, const void* instruction);
    void (*fault)(const char* what, const char* file, int line);
};

/// A kernel as the compiled file describes it.
struct Kernel {
    void (*call)(void** arguments);
    unsigned parameters;
    const unsigned* sizes;
    const bool* is_pointer;
    unsigned max_threads;
};

}  // namespace stand_in
