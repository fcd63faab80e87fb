// The dynamic shared memory of the block that runs: its end lies flush against a guard page.
#include <sys/mman.h>

#include "stand_in.h"

namespace stand_in {

constexpr uint64_t PAGE = 4096;
constexpr uint64_t ROOM = 256 << 10;

static uint64_t base = 0;
static uint64_t pages_start, start, length;

void* open_shared_memory(unsigned bytes) {
    if (base == 0) {
        // A guard as long as the room on both sides.
        void* made = mmap(nullptr, 3 * ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        base = reinterpret_cast<uint64_t>(made);
    }
    const uint64_t end = base + 2 * ROOM;
    const uint64_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
    mprotect(reinterpret_cast<void*>(base + ROOM), ROOM, PROT_NONE);
    mprotect(reinterpret_cast<void*>(end - pages), pages, PROT_READ | PROT_WRITE);
    pages_start = end - pages;
    start = end - (bytes + 15) / 16 * 16;
    length = bytes;
    return reinterpret_cast<void*>(start);
}

void poison_shared_memory() { fill_with_poison(reinterpret_cast<void*>(pages_start), base + 2 * ROOM - pages_start); }

void check_shared_memory() {
    const uint64_t end = base + 2 * ROOM;
    bool behind_intact = true;
    for (uint64_t at = start + length; at < end; at++) {
        behind_intact &= *reinterpret_cast<uint8_t*>(at) == ((POISON >> (8 * (at % 4))) & 0xFF);
    }
    const bool before_intact = is_poison(reinterpret_cast<void*>(pages_start), start - pages_start);
    if (!before_intact || !behind_intact) {
        (Line() << "bytes right " << (before_intact ? "behind" : "before") << " the block's shared memory of " << length
                << " bytes were overwritten")
            .end_process();
    }
}

void require_shared(const char* what, const void* address, size_t bytes) {
    const auto at = reinterpret_cast<uint64_t>(address);
    if (at < start || at + bytes > start + length) {
        Line line;
        line << what << " of " << bytes << " bytes at " << Hex{at} << ", which is not in the block's shared memory: ";
        if (!describe_shared_address(line, at)) {
            describe_address(line, at);
        }
        line.end_process();
    }
    if (at % bytes != 0) {
        (Line() << what << ": the shared address " << Hex{at} << " is no multiple of " << bytes << " bytes").end_process();
    }
}

bool describe_shared_address(Line& line, uint64_t address) {
    if (base == 0 || address < base || address >= base + 3 * ROOM) {
        return false;
    }
    if (address < start) {
        line << start - address << " bytes before";
    } else if (address < start + length) {
        line << address - start << " bytes into";
    } else {
        line << address - start - length << " bytes past the end of";
    }
    line << " the block's shared memory of " << length << " bytes";
    return true;
}

uint64_t shared_room_end(uint64_t address) {
    const bool inside = base != 0 && address >= base + ROOM && address < base + 2 * ROOM;
    return inside ? base + 2 * ROOM : 0;
}

}  // namespace stand_in
