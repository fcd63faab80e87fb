// Runs the threads of a block as fibers: each runs until it ends or has to wait for others, in a shuffled order.
#include <cstring>
#include <numeric>

#include "stand_in.h"

namespace stand_in {

constexpr unsigned WARP = 32;
constexpr unsigned MAX_THREADS = 1024;

/// A collective that lanes of one warp wait in.
struct Group {
    const char* what;
    unsigned mask;
    int line;
    bool whole_warp;
    unsigned arrived;
    /// Lanes that may still read what was gathered.
    int readers;
    Gathered gathered;
};

struct Copy {
    void* shared;
    const void* global;
    bool valid;
    int group;
};

enum class State { unstarted, running, at_barrier, in_collective, ended };

struct Fiber {
    void* stack_pointer;
    size_t stack;
    unsigned linear;
    uint3 index;
    State state;
    int line;
    Group* held;
    std::vector<Copy> copies;
    int open_copy_group;
};

struct Warp {
    std::vector<Group*> open;
    /// Lanes that ended, and lanes that a short last warp never had.
    unsigned ended;
    /// Collectives so far, which order the accesses of the warp's lanes.
    unsigned epoch;
};

static Launch launch;
static Fiber fibers[MAX_THREADS];
static Warp warps[MAX_THREADS / WARP];
static std::vector<Fiber*> ready;
static std::vector<Group*> spare_groups;
static unsigned unfinished, waiting_at_barrier;
static int barrier_line;
static Fiber* current;
static void* scheduler_stack_pointer;

static void let_go_of_group(Fiber& fiber) {
    if (fiber.held != nullptr && --fiber.held->readers == 0) {
        spare_groups.push_back(fiber.held);
    }
    fiber.held = nullptr;
}

static void back_to_scheduler() {
    Fiber& fiber = *current;
    stand_in_switch(&fiber.stack_pointer, scheduler_stack_pointer);
}

static void fiber_main() {
    launch.kernel->call(launch.arguments);
    Fiber& fiber = *current;
    let_go_of_group(fiber);
    fiber.state = State::ended;
    warps[fiber.linear / WARP].ended |= 1u << (fiber.linear % WARP);
    unfinished--;
    back_to_scheduler();
}

static void resume(Fiber& fiber) {
    if (fiber.state == State::unstarted) {
        fiber.stack = take_stack();
        fiber.stack_pointer = first_stack_pointer(fiber.stack, fiber_main);
    }
    fiber.state = State::running;
    current = &fiber;
    launch.seen->thread = fiber.index;
    position.thread = fiber.index;
    position.in_thread = true;
    stand_in_switch(&scheduler_stack_pointer, fiber.stack_pointer);
    position.in_thread = false;
    if (fiber.state == State::ended) {
        give_back_stack(fiber.stack);
    }
}

static bool is_complete(const Warp& warp, const Group& group) {
    return ((group.arrived | warp.ended) & group.mask) == group.mask;
}

/// Lets every lane of the group go on.
static void complete(unsigned warp_index, Group& group) {
    Warp& warp = warps[warp_index];
    if (group.whole_warp && group.arrived != ~0u) {
        (Line() << group.what << " at line " << static_cast<uint64_t>(group.line)
                << " needs all 32 lanes, but some have ended or never were").end_process();
    }
    for (size_t i = 0; i < warp.open.size(); i++) {
        if (warp.open[i] == &group) {
            warp.open.erase(warp.open.begin() + static_cast<long>(i));
        }
    }
    warp.epoch++;
    group.gathered.present = group.arrived;
    group.gathered.worked_out = false;
    group.readers = __builtin_popcount(group.arrived);
    for (unsigned lane = 0; lane < WARP; lane++) {
        Fiber& fiber = fibers[warp_index * WARP + lane];
        if ((group.arrived >> lane & 1) != 0 && fiber.state == State::in_collective) {
            ready.push_back(&fiber);
        }
    }
}

static Group& join_group(Warp& warp, const char* what, unsigned mask, int line, bool whole_warp, unsigned lane_bit) {
    for (Group* group : warp.open) {
        if (group->mask == mask && group->line == line && (group->arrived & lane_bit) == 0 && strcmp(group->what, what) == 0) {
            return *group;
        }
    }
    if (spare_groups.empty()) {
        spare_groups.push_back(new Group);
    }
    Group* group = spare_groups.back();
    spare_groups.pop_back();
    group->what = what;
    group->mask = mask;
    group->line = line;
    group->whole_warp = whole_warp;
    group->arrived = 0;
    warp.open.push_back(group);
    return *group;
}

static Gathered* gather(const char* what, unsigned mask, int line, const void* mine, size_t bytes, bool whole_warp) {
    Fiber& fiber = *current;
    let_go_of_group(fiber);
    const unsigned lane = fiber.linear % WARP;
    Warp& warp = warps[fiber.linear / WARP];
    if ((mask >> lane & 1) == 0) {
        (Line() << what << " at line " << static_cast<uint64_t>(line) << ": the mask " << Hex{mask} << " leaves out the calling lane "
                << uint64_t{lane})
            .end_process();
    }
    Group& group = join_group(warp, what, mask, line, whole_warp, 1u << lane);
    memcpy(group.gathered.values[lane], mine, bytes);
    group.arrived |= 1u << lane;
    fiber.held = &group;
    fiber.line = line;
    if (is_complete(warp, group)) {
        complete(fiber.linear / WARP, group);
    } else {
        fiber.state = State::in_collective;
        back_to_scheduler();
    }
    return &group.gathered;
}

static void barrier(int line) {
    Fiber& fiber = *current;
    let_go_of_group(fiber);
    if (waiting_at_barrier > 0 && line != barrier_line) {
        (Line() << "divergent barrier: this thread is at the __syncthreads of line " << static_cast<uint64_t>(line)
                << " while others of its block wait at that of line " << static_cast<uint64_t>(barrier_line))
            .end_process();
    }
    barrier_line = line;
    waiting_at_barrier++;
    fiber.line = line;
    fiber.state = State::at_barrier;
    back_to_scheduler();
}

static void access(const void* address, size_t bytes, bool write, const void* instruction) {
    note_access({address, bytes, write, instruction, current->linear, warps[current->linear / WARP].epoch});
}

static void copy_async(void* shared, const void* global, bool valid) {
    if (settings().check_races) {
        access(shared, 16, true, nullptr);
        if (valid) {
            access(global, 16, false, nullptr);
        }
    }
    // Until the wait the target holds nothing: a read before it gets poison instead of what lay there.
    fill_with_poison(shared, 16);
    current->copies.push_back({shared, global, valid, current->open_copy_group});
}

static void copy_async_commit() { current->open_copy_group++; }

static void copy_async_wait(int groups_left) {
    std::vector<Copy>& copies = current->copies;
    size_t kept = 0;
    for (const Copy& copy : copies) {
        if (copy.group >= current->open_copy_group - groups_left) {
            copies[kept++] = copy;
        } else if (copy.valid) {
            memcpy(copy.shared, copy.global, 16);
        } else {
            memset(copy.shared, 0, 16);
        }
    }
    copies.resize(kept);
}

static void fault(const char* what, const char* file, int line) {
    (Line() << what << " at " << file << " line " << static_cast<uint64_t>(line)).end_process();
}

const Hooks HOOKS = {barrier, gather, copy_async, copy_async_commit, copy_async_wait, require_shared, access, fault};

[[noreturn]] static void report_stuck(unsigned threads) {
    for (unsigned i = 0; i < threads; i++) {
        const Fiber& fiber = fibers[i];
        if (fiber.state != State::in_collective) {
            continue;
        }
        const Group& group = *fiber.held;
        const Warp& warp = warps[i / WARP];
        const auto missing = static_cast<unsigned>(__builtin_ctz(group.mask & ~group.arrived & ~warp.ended));
        const Fiber& other = fibers[i / WARP * WARP + missing];
        position.thread = fiber.index;
        position.in_thread = true;
        (Line() << "this thread waits in " << group.what << " at line " << static_cast<uint64_t>(group.line) << " (mask "
                << Hex{group.mask} << ") for lane " << uint64_t{missing} << ", which waits in "
                << (other.state == State::at_barrier ? "__syncthreads" : other.held->what) << " at line "
                << static_cast<uint64_t>(other.line))
            .end_process();
    }
    (Line() << "the block's threads wait for each other").end_process();
}

/// When no thread can run: opens what is complete now that threads have ended, or else the barrier.
static void unblock(unsigned threads) {
    for (unsigned w = 0; w * WARP < threads; w++) {
        const std::vector<Group*> open = warps[w].open;
        for (Group* group : open) {
            if (is_complete(warps[w], *group)) {
                complete(w, *group);
            }
        }
    }
    if (!ready.empty()) {
        return;
    }
    if (waiting_at_barrier != unfinished) {
        report_stuck(threads);
    }
    waiting_at_barrier = 0;
    pass_barrier();
    for (unsigned i = 0; i < threads; i++) {
        if (fibers[i].state == State::at_barrier) {
            ready.push_back(&fibers[i]);
        }
    }
}

static void run_block(unsigned threads) {
    static std::vector<Fiber*> batch;
    ready.clear();
    for (unsigned i = 0; i < threads; i++) {
        fibers[i].state = State::unstarted;
        fibers[i].held = nullptr;
        fibers[i].copies.clear();
        fibers[i].open_copy_group = 0;
        ready.push_back(&fibers[i]);
    }
    for (unsigned w = 0; w * WARP < threads; w++) {
        const unsigned lanes = threads - w * WARP;
        warps[w].ended = lanes >= WARP ? 0 : ~0u << lanes;
    }
    unfinished = threads;
    waiting_at_barrier = 0;
    start_race_check_of_block();
    while (unfinished > 0) {
        if (ready.empty()) {
            unblock(threads);
        }
        batch.swap(ready);
        for (size_t i = batch.size(); i > 0; i--) {
            std::swap(batch[i - 1], batch[random_below(i)]);
            resume(*batch[i - 1]);
        }
        batch.clear();
    }
}

void run_launch(const Launch& wanted) {
    launch = wanted;
    const dim3 grid = launch.grid, block = launch.block;
    const unsigned threads = block.x * block.y * block.z;
    for (unsigned i = 0; i < threads; i++) {
        fibers[i].linear = i;
        fibers[i].index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    }
    launch.seen->grid_dim = grid;
    launch.seen->block_dim = block;
    launch.seen->shared = open_shared_memory(launch.shared_bytes);
    position.kernel = launch.name;
    position.library = launch.library;
    position.library_base = launch.library_base;
    start_race_check_of_launch();
    // A walk with a step that shares no factor with the number of blocks meets every block once.
    const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
    uint64_t step = 1 + random_below(blocks);
    while (std::gcd(step, blocks) != 1) {
        step++;
    }
    uint64_t at = random_below(blocks);
    for (uint64_t done = 0; done < blocks; done++) {
        const uint64_t plane = uint64_t{grid.x} * grid.y;
        const uint3 index = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y), static_cast<unsigned>(at / plane)};
        launch.seen->block = index;
        position.block = index;
        poison_shared_memory();
        run_block(threads);
        check_shared_memory();
        at = (at + step) % blocks;
    }
    position.kernel = nullptr;
}

}  // namespace stand_in
