// What the parts of the stand-in card share. README.md says what it is for.
#pragma once
#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "kernel_interface.h"

namespace stand_in {

enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    FILE_NOT_FOUND = 301,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    NOT_SUPPORTED = 801,
};

/// Both halves of the word are NaN as bf16, the whole is a signalling NaN as f32, and as an index it is far outside.
constexpr uint32_t POISON = 0x7FA07FA0;

void fill_with_poison(void* start, size_t bytes);
bool is_poison(const void* start, size_t bytes);

// settings.cpp

struct Settings {
    uint64_t memory_bytes;
    int cards;
    int capability;
    uint64_t seed;
    bool stage_pageable;
    bool flush_start;
    bool check_races;
};
const Settings& settings();
/// Dynamic shared memory a kernel of this capability may ask for at most.
unsigned max_shared_bytes();
/// The next number of the seeded generator, below `bound`.
uint64_t random_below(uint64_t bound);

// faults.cpp

struct Hex {
    uint64_t value;
};

/// A line built without the heap, since the signal handler builds one too.
class Line {
  public:
    Line& operator<<(const char* text);
    Line& operator<<(uint64_t number);
    Line& operator<<(Hex number);
    Line& operator<<(uint3 index);
    /// Writes "cuda stand-in: ..." to stderr.
    void print();
    /// Says also which kernel thread or which queued operation runs, and ends the process with code 86.
    [[noreturn]] void end_process();

  private:
    char text_[1024];
    size_t length_ = 0;
};

/// What runs now, for messages.
struct Position {
    /// The system thread that runs it.
    pthread_t runner;
    const char* operation = nullptr;
    const char* kernel = nullptr;
    /// The compiled file of the kernel, and where it is loaded.
    const char* library = nullptr;
    uint64_t library_base = 0;
    bool in_thread = false;
    uint3 block, thread;
};
extern Position position;

void install_fault_handler();
/// Adds how to find the source line of an instruction of the kernel.
void describe_instruction(Line& line, uint64_t instruction);

/// Gives the calling system thread a signal stack of ours: the stack of a kernel thread may be the fault itself.
class FaultStack {
  public:
    FaultStack();
    ~FaultStack();

  private:
    void* previous_;
};

// memory.cpp

enum class Life { live, free_queued, freed };

struct Allocation {
    uint64_t start, bytes;
    uint64_t pages_start, pages_end;
    int card;
    bool pinned;
    Life life;
    /// Operations in any stream that use the memory and have not run yet.
    unsigned queued_uses;
};

/// Null if the card has not that much left.
Allocation* allocate(uint64_t bytes, int card, bool pinned);
void release(Allocation& allocation);
/// The allocation, alive or not, that `address` lies in or is the end of; null if none.
Allocation* find_allocation(uint64_t address);
/// When memory is looked at: while work is queued, a queued free has taken it away already; while work runs, only a free
/// that ran has.
enum class When { queued, runs };
/// Ends the process unless the bytes lie in one allocation that may be used, which is returned.
Allocation& require_range(uint64_t address, uint64_t bytes, const char* purpose, When when);
void check_canaries(const Allocation& allocation);
uint64_t bytes_in_use(int card);
bool is_device_address(uint64_t address);
void describe_address(Line& line, uint64_t address);

// fibers.cpp

/// Goes on where `load` was saved, and saves in `*save` where it left.
extern "C" void stand_in_switch(void** save, void* load);
size_t take_stack();
void give_back_stack(size_t stack);
/// For a first switch, which calls `main`; that must never return.
void* first_stack_pointer(size_t stack, void (*main)());
/// False if the address has nothing to do with the stacks of kernel threads.
bool describe_stack_address(Line& line, uint64_t address);

// blocks.cpp

struct Launch {
    const Kernel* kernel;
    Seen* seen;
    const char* name;
    const char* library;
    uint64_t library_base;
    dim3 grid, block;
    unsigned shared_bytes;
    void** arguments;
};
void run_launch(const Launch& launch);
extern const Hooks HOOKS;

// races.cpp

/// Forgets the accesses before: those of earlier launches, or of other blocks to shared memory.
void start_race_check_of_launch();
void start_race_check_of_block();
void pass_barrier();
void forget_accesses(const Allocation& allocation);
struct Access {
    const void* address;
    size_t bytes;
    bool write;
    /// The one after it in the kernel, or null.
    const void* instruction;
    unsigned thread;
    /// Counts the collectives that the thread's warp has passed.
    uint32_t warp_epoch;
};
void note_access(const Access& access);

// shared_memory.cpp

/// Memory for one block, its end flush against a guard page.
void* open_shared_memory(unsigned bytes);
void poison_shared_memory();
void check_shared_memory();
void require_shared(const char* what, const void* address, size_t bytes);
bool describe_shared_address(Line& line, uint64_t address);
/// The first address after the room for shared memory, if the address lies in it, else 0.
uint64_t shared_room_end(uint64_t address);

// streams.cpp

struct Stream;

/// A point in a stream that an event marks.
struct Mark {
    Stream* stream;
    uint64_t sequence;
    bool reached = false;
    double milliseconds = 0;
};

struct Operation {
    uint64_t sequence;
    const char* what;
    std::vector<Allocation*> uses;
    std::function<void()> run;
    std::shared_ptr<Mark> wait_for;
};

struct Stream {
    int card;
    /// The legacy default stream and the streams created without the non-blocking flag wait for each other.
    bool legacy, blocking, destroyed;
    std::deque<Operation> queue;
};

/// Null if the handle is none of ours.
Stream* find_stream(void* handle);
uint64_t enqueue(Stream& stream, const char* what, std::vector<Allocation*> uses, std::function<void()> run);
void run_until(Stream& stream, uint64_t sequence);
void run_all(Stream& stream);
void run_card(int card);
/// A queued operation that uses the memory, for messages.
const char* queued_use(const Allocation& allocation);

// driver.cpp

std::recursive_mutex& card_lock();
/// The card of the calling thread's current context, or -1.
int current_card();

/// Runs the body of a driver function under the card's one lock, if the calling thread has a context.
template <class Body>
Result in_context(Body body) {
    std::lock_guard<std::recursive_mutex> hold(card_lock());
    if (current_card() < 0) {
        return INVALID_CONTEXT;
    }
    return body();
}

}  // namespace stand_in
