// Finds accesses of two threads to the same memory, one of them a write, that no barrier orders. Threads run one after
// the other here, so such a kernel can give the right result on the stand-in and a wrong one on a card.
#include <unordered_map>

#include "stand_in.h"

namespace stand_in {

/// Who read a place in one interval, as far as it matters for a later write.
enum class Readers : uint8_t { one_thread, one_warp, several_warps };

/// The last accesses to two bytes. An interval is the time between two barriers of one block; later ones have larger numbers.
struct Record {
    uint32_t write_interval, read_interval;
    uint32_t write_epoch, read_epoch;
    uint16_t writer, reader;
    Readers readers;
    /// Another block of this launch has read the place.
    bool read_elsewhere;
};

static uint32_t interval = 1, launch_start = 1, block_start = 1;
static std::unordered_map<const Allocation*, std::vector<Record>> global_records;
static std::vector<Record> shared_records(256 << 9);

void forget_accesses(const Allocation& allocation) { global_records.erase(&allocation); }
void start_race_check_of_launch() { launch_start = ++interval; }
void start_race_check_of_block() { block_start = ++interval; }
void pass_barrier() { interval++; }

[[noreturn]] static void report(const Access& access, uint64_t address, bool other_wrote, bool other_block, unsigned other) {
    Line line;
    line << "race: this thread " << (access.write ? "writes" : "reads") << " what ";
    if (other_block) {
        line << "a thread of another block ";
    } else {
        line << "thread " << uint64_t{other} << " of its block ";
    }
    line << (other_wrote ? "wrote" : "read") << ", and no barrier lies between: ";
    if (!describe_shared_address(line, address)) {
        describe_address(line, address);
    }
    describe_instruction(line, reinterpret_cast<uint64_t>(access.instruction) - 1);
    line.end_process();
}

/// Whether a warp's collective lies between an access of `other` in that epoch and now.
static bool ordered_by_warp(const Access& access, unsigned other, uint32_t other_epoch) {
    return access.thread / 32 == other / 32 && other_epoch < access.warp_epoch;
}

static void check_record(Record& r, const Access& access, uint64_t address, uint32_t first_interval) {
    const unsigned thread = access.thread;
    const bool was_written = r.write_interval >= first_interval, was_read = r.read_interval >= first_interval;
    if (!was_read) {
        r.read_elsewhere = false;
    }
    if (was_written && r.write_interval < block_start) {
        report(access, address, true, true, r.writer);
    }
    if (was_written && r.write_interval == interval && r.writer != thread && !ordered_by_warp(access, r.writer, r.write_epoch)) {
        report(access, address, true, false, r.writer);
    }
    const bool read_by_other_block = r.read_elsewhere || (was_read && r.read_interval < block_start);
    const bool read_now = was_read && r.read_interval == interval;
    if (access.write) {
        if (read_by_other_block) {
            report(access, address, false, true, r.reader);
        }
        const bool only_own = r.readers == Readers::one_thread && r.reader == thread;
        const bool ordered = r.readers != Readers::several_warps && ordered_by_warp(access, r.reader, r.read_epoch);
        if (read_now && !only_own && !ordered) {
            report(access, address, false, false, r.reader);
        }
        r.write_interval = interval;
        r.write_epoch = access.warp_epoch;
        r.writer = static_cast<uint16_t>(thread);
        return;
    }
    r.read_elsewhere = read_by_other_block;
    if (!read_now) {
        r.readers = Readers::one_thread;
    } else if (r.reader / 32 != thread / 32) {
        r.readers = Readers::several_warps;
    } else if (r.reader != thread && r.readers == Readers::one_thread) {
        r.readers = Readers::one_warp;
    }
    r.read_interval = interval;
    r.read_epoch = access.warp_epoch;
    r.reader = static_cast<uint16_t>(thread);
}

void note_access(const Access& access) {
    const auto address = reinterpret_cast<uint64_t>(access.address);
    Record* records = nullptr;
    uint64_t first = 0, end = 0;
    uint32_t first_interval = launch_start;
    if (const uint64_t room_end = shared_room_end(address)) {
        first = room_end - (256 << 10);
        end = room_end;
        first_interval = block_start;
        records = shared_records.data();
    } else if (is_device_address(address)) {
        // Most accesses hit the allocation of the one before; addresses are never used again, so it stays right.
        static const Allocation* a = nullptr;
        if (a == nullptr || address < a->start || address >= a->start + a->bytes) {
            a = find_allocation(address);
        }
        if (a == nullptr) {
            return;
        }
        first = a->start;
        end = a->start + a->bytes;
        auto& of_allocation = global_records[a];
        of_allocation.resize(a->bytes / 2 + 1);
        records = of_allocation.data();
    } else {
        return;
    }
    for (uint64_t at = address; at < address + access.bytes && at < end; at += 2) {
        check_record(records[(at - first) / 2], access, at, first_interval);
    }
}

}  // namespace stand_in
