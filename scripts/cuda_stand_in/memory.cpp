// Device memory: every allocation has pages of its own between guard pages, and no address is ever used twice.
#include <sys/mman.h>

#include <algorithm>

#include "stand_in.h"

namespace stand_in {

constexpr uint64_t PAGE = 4096;
constexpr uint64_t ADDRESS_SPACE = 16ull << 40;
constexpr uint64_t SMALLEST_GAP = 64 << 10;

static uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

struct Memory {
    uint64_t base = 0, next = 0;
    /// In the order of their addresses, and never removed: a fault in freed memory can name it.
    std::deque<Allocation> allocations;
    std::vector<uint64_t> in_use;
};

static Memory& memory() {
    // Never destroyed, since other threads may still call while the process ends.
    static Memory& one = *new Memory;
    return one;
}

static void reserve_addresses(Memory& m) {
    void* start = mmap(nullptr, ADDRESS_SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        (Line() << "cannot reserve 16 TiB of addresses").end_process();
    }
    m.base = reinterpret_cast<uint64_t>(start);
    m.next = m.base + SMALLEST_GAP;
    m.in_use.assign(static_cast<size_t>(settings().cards), 0);
}

Allocation* allocate(uint64_t bytes, int card, bool pinned) {
    Memory& m = memory();
    if (m.base == 0) {
        reserve_addresses(m);
    }
    uint64_t& in_use = m.in_use[static_cast<size_t>(card)];
    if (!pinned && bytes > settings().memory_bytes - std::min(in_use, settings().memory_bytes)) {
        return nullptr;
    }
    const uint64_t pages = round_up(bytes, PAGE);
    // A gap as long as the allocation itself: an index up to twice too large falls into it, not into a neighbour.
    const uint64_t gap = std::max(SMALLEST_GAP, pages);
    if (m.next + pages + gap > m.base + ADDRESS_SPACE) {
        (Line() << "all 16 TiB of addresses are used up; addresses are never used again").end_process();
    }
    void* start = reinterpret_cast<void*>(m.next);
    if (mprotect(start, pages, PROT_READ | PROT_WRITE) != 0) {
        (Line() << "the host cannot map " << bytes << " bytes (memory, or vm.max_map_count)").end_process();
    }
    fill_with_poison(start, pages);
    Allocation made = {};
    made.pages_start = m.next;
    made.pages_end = m.next + pages;
    made.start = settings().flush_start ? made.pages_start : made.pages_end - round_up(bytes, 16);
    made.bytes = bytes;
    made.card = card;
    made.pinned = pinned;
    made.life = Life::live;
    m.next = made.pages_end + gap;
    m.allocations.push_back(made);
    if (!pinned) {
        in_use += bytes;
    }
    return &m.allocations.back();
}

void release(Allocation& a) {
    check_canaries(a);
    forget_accesses(a);
    // A fresh mapping rather than mprotect: it gives the memory back and merges with the gaps beside it.
    mmap(reinterpret_cast<void*>(a.pages_start), a.pages_end - a.pages_start, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    a.life = Life::freed;
    if (!a.pinned) {
        memory().in_use[static_cast<size_t>(a.card)] -= a.bytes;
    }
}

/// The last allocation whose pages start at or before `address`.
static Allocation* allocation_before(uint64_t address) {
    auto& all = memory().allocations;
    auto after = std::upper_bound(all.begin(), all.end(), address,
                                  [](uint64_t wanted, const Allocation& a) { return wanted < a.pages_start; });
    return after == all.begin() ? nullptr : &*(after - 1);
}

Allocation* find_allocation(uint64_t address) {
    Allocation* a = allocation_before(address);
    return a != nullptr && address >= a->start && address <= a->start + a->bytes ? a : nullptr;
}

Allocation& require_range(uint64_t address, uint64_t bytes, const char* purpose, When when) {
    Allocation* a = find_allocation(address);
    const bool usable = a != nullptr && (a->life == Life::live || (a->life == Life::free_queued && when == When::runs));
    if (!usable || bytes > a->start + a->bytes - address) {
        Line line;
        line << purpose << " has " << bytes << " bytes from " << Hex{address} << ": ";
        describe_address(line, address);
        if (usable) {
            line << ", which is " << bytes - (a->start + a->bytes - address) << " bytes too few";
        }
        line.end_process();
    }
    return *a;
}

void check_canaries(const Allocation& a) {
    const uint64_t end = a.start + a.bytes;
    const bool before_intact = is_poison(reinterpret_cast<void*>(a.pages_start), a.start - a.pages_start);
    // The bytes behind need not start at a whole word of poison.
    bool behind_intact = true;
    for (uint64_t at = end; at < a.pages_end; at++) {
        const uint64_t shift = 8 * ((at - a.pages_start) % 4);
        behind_intact &= *reinterpret_cast<uint8_t*>(at) == ((POISON >> shift) & 0xFF);
    }
    if (!before_intact || !behind_intact) {
        (Line() << "bytes right " << (before_intact ? "behind" : "before") << " the allocation of " << a.bytes
                << " bytes at " << Hex{a.start} << " were overwritten")
            .end_process();
    }
}

uint64_t bytes_in_use(int card) { return memory().base == 0 ? 0 : memory().in_use[static_cast<size_t>(card)]; }

bool is_device_address(uint64_t address) {
    const Memory& m = memory();
    return m.base != 0 && address >= m.base && address < m.base + ADDRESS_SPACE;
}

void describe_address(Line& line, uint64_t address) {
    if (!is_device_address(address)) {
        line << "no device memory is near (a host address, a null pointer, or an index far outside)";
        return;
    }
    Allocation* a = allocation_before(address);
    auto& all = memory().allocations;
    // In the gap between two allocations the nearer one is the likelier.
    if (a == nullptr || address >= a->pages_end) {
        auto after = std::upper_bound(all.begin(), all.end(), address,
                                      [](uint64_t wanted, const Allocation& b) { return wanted < b.pages_start; });
        const uint64_t behind = a == nullptr ? UINT64_MAX : address - a->pages_end;
        if (after != all.end() && after->pages_start - address < behind) {
            a = &*after;
        }
    }
    if (a == nullptr) {
        line << "no device memory was ever allocated near";
        return;
    }
    const uint64_t end = a->start + a->bytes;
    if (address < a->start) {
        line << a->start - address << " bytes before";
    } else if (address < end) {
        line << address - a->start << " bytes into";
    } else {
        line << address - end << " bytes past the end of";
    }
    line << (a->life == Life::live ? "" : a->life == Life::freed ? " freed memory:" : " memory given to an async free:")
         << (a->pinned ? " the pinned host" : " the") << " allocation of " << a->bytes << " bytes at " << Hex{a->start};
}

}  // namespace stand_in
