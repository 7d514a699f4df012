#include "tests/support/cuda_emulator/src/device_memory.h"

#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/fault_handler.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace cuda_emulator {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAlignment = 256;  // of every allocation, as CUDA promises
constexpr int kFreshByte = 0xFF;         // NaN in f32 and bf16
constexpr std::size_t kFreshFileBytes = 16 << 20;
constexpr std::size_t kHugePageBytes = 2 << 20;
// Larger allocations are mapped from the file of fresh bytes, so that pages that are never written take no
// memory. Smaller ones are filled at once and may take huge pages, which are opened and closed 100
// times as fast.
constexpr std::size_t kMaxFilledBytes = 64 << 20;

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

long environment_number(const char* name, long otherwise, long most) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 0 || value > most) {
    fail("%s is \"%s\"; wanted a number from 0 to %ld", name, text, most);
  }
  return value;
}

/// A file in memory of so many bytes of `byte`.
int memory_file(const char* name, std::size_t bytes, int byte) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) fail("no memory for %s", name);
  const std::vector<char> block(1 << 20, static_cast<char>(byte));
  for (std::size_t done = 0; done < bytes; done += block.size()) {
    if (write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      fail("no memory for %s", name);
    }
  }
  return file;
}

struct DeviceRange {
  char* base = nullptr;
  std::size_t allocated_bytes = 0;
  char* next = nullptr;  // where a search for free pages begins
  char* high = nullptr;  // memory from here on was never allocated
  int open = 0;          // how many users keep it open
};

class DeviceMemory {
 public:
  static DeviceMemory& get() {
    static auto* memory = new DeviceMemory;  // never destroyed: others' destructors use it
    return *memory;
  }

  const int devices = static_cast<int>(environment_number("RETINUE_EMULATOR_DEVICES", 1, 64));
  const std::size_t device_bytes =
      static_cast<std::size_t>(environment_number("RETINUE_EMULATOR_MEMORY_GIB", 4, 1024)) << 30;
  // Four times as many addresses as memory, so that a freed address is not reused soon.
  const std::size_t range_bytes = 4 * device_bytes + (std::size_t{1} << 30);
  char* base = nullptr;

  std::mutex mutex;
  std::vector<DeviceRange> ranges;
  std::map<const char*, Allocation> allocations;  // by their first byte
  int empty_file = -1, fresh_file = -1;

  int device_of(const void* pointer) const {
    const auto* at = static_cast<const char*>(pointer);
    if (at < base || at >= base + range_bytes * ranges.size()) return -1;
    return static_cast<int>(static_cast<std::size_t>(at - base) / range_bytes);
  }

  std::map<const char*, Allocation>::iterator find(const void* pointer) {
    const auto* at = static_cast<const char*>(pointer);
    auto after = allocations.upper_bound(at);
    if (after == allocations.begin()) return allocations.end();
    --after;
    return at < after->second.data + after->second.bytes ? after : allocations.end();
  }

  /// The start of a free run of pages in the device's range, or null.
  char* find_room(const DeviceRange& range, std::size_t bytes) {
    const std::size_t alignment = bytes < kHugePageBytes ? kPageBytes : kHugePageBytes;
    char* const end = range.base + range_bytes;
    for (char* start : {range.next, range.base}) {
      char* at = start;
      auto taken = allocations.lower_bound(at);
      if (taken != allocations.begin()) {
        const Allocation& before = std::prev(taken)->second;
        at = std::max(at, pages_end(before));
      }
      for (at = aligned(at, alignment); at + bytes <= end; ++taken) {
        if (taken == allocations.end() || pages_begin(taken->second) >= at + bytes) return at;
        at = aligned(std::max(at, pages_end(taken->second)), alignment);
      }
    }
    return nullptr;
  }

  static char* aligned(char* at, std::size_t alignment) {
    return reinterpret_cast<char*>(round_up(reinterpret_cast<std::uintptr_t>(at), alignment));
  }

  // The pages of an allocation, with the guard page behind it.
  static char* pages_begin(const Allocation& a) {
    return reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(a.data) / kPageBytes *
                                   kPageBytes);
  }
  static char* pages_end(const Allocation& a) {
    return a.data + round_up(a.bytes, kAlignment) + kPageBytes;
  }

  void protect(DeviceRange& range) {
    if (range.high > range.base &&
        mprotect(range.base, static_cast<std::size_t>(range.high - range.base),
                 range.open > 0 ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) {
      fail("mprotect of device memory failed");
    }
  }

  void map(char* at, std::size_t bytes, int flags, int file, int protection,
           std::ptrdiff_t offset = 0) {
    if (mmap(at, bytes, protection, flags | MAP_FIXED | MAP_NORESERVE, file, offset) ==
        MAP_FAILED) {
      fail("no room for an allocation of device memory: mmap failed");
    }
  }

 private:
  DeviceMemory() : ranges(static_cast<std::size_t>(devices)) {
    // Pages of an empty file: touching one is SIGBUS even while the range is open.
    empty_file = memory_file("emulated-device-gaps", 0, 0);
    fresh_file = memory_file("emulated-device-fresh", kFreshFileBytes, kFreshByte);
    if (ranges.empty()) return;
    void* range = mmap(nullptr, range_bytes * ranges.size(), PROT_NONE, MAP_SHARED | MAP_NORESERVE,
                       empty_file, 0);
    if (range == MAP_FAILED) fail("cannot reserve addresses for device memory");
    base = static_cast<char*>(range);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      ranges[i].base = ranges[i].next = ranges[i].high = base + i * range_bytes;
    }
    install_fault_handler(base, range_bytes * ranges.size());
  }
};

}  // namespace

int device_count() { return DeviceMemory::get().devices; }
std::size_t device_memory_bytes() { return DeviceMemory::get().device_bytes; }
int device_of(const void* pointer) { return DeviceMemory::get().device_of(pointer); }
std::span<const char> device_addresses() {
  const auto& memory = DeviceMemory::get();
  return {memory.base, memory.range_bytes * memory.ranges.size()};
}

std::size_t device_memory_free(int device) {
  auto& memory = DeviceMemory::get();
  std::lock_guard lock(memory.mutex);
  return memory.device_bytes - memory.ranges[static_cast<std::size_t>(device)].allocated_bytes;
}

cudaError_t allocate_device_memory(int device, std::size_t bytes, void** pointer) {
  auto& memory = DeviceMemory::get();
  std::lock_guard lock(memory.mutex);
  DeviceRange& range = memory.ranges[static_cast<std::size_t>(device)];
  const std::size_t padded = round_up(bytes, kAlignment), pages = round_up(padded, kPageBytes);
  if (bytes > memory.device_bytes || range.allocated_bytes + padded > memory.device_bytes) {
    return cudaErrorMemoryAllocation;
  }
  char* const at = memory.find_room(range, pages + kPageBytes);
  if (at == nullptr) return cudaErrorMemoryAllocation;
  // The allocation ends where its last page does, so that a step past its end faults.
  char* const data = at + (pages - padded);
  const int now = range.open > 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (pages <= kMaxFilledBytes) {
    memory.map(at, pages, MAP_PRIVATE | MAP_ANONYMOUS, -1, PROT_READ | PROT_WRITE);
    if (pages >= kHugePageBytes) madvise(at, pages, MADV_HUGEPAGE);
    std::memset(at, kFreshByte, pages);
    if (now == PROT_NONE) mprotect(at, pages, PROT_NONE);
  } else {
    for (std::size_t done = 0; done < pages; done += kFreshFileBytes) {
      memory.map(at + done, std::min(kFreshFileBytes, pages - done), MAP_PRIVATE, memory.fresh_file,
                 now);
    }
  }
  range.allocated_bytes += padded;
  range.next = at + pages + kPageBytes;
  if (range.next > range.high) {
    // The gap becomes a part of the range that is opened and closed.
    mprotect(range.high, static_cast<std::size_t>(range.next - range.high), now);
    range.high = range.next;
  }
  memory.allocations[data] = {data, bytes, device};
  *pointer = data;
  return cudaSuccess;
}

cudaError_t release_device_memory(void* pointer) {
  auto& memory = DeviceMemory::get();
  const int device = memory.device_of(pointer);
  if (device < 0) return cudaErrorInvalidValue;
  const DeviceAccess access(device);
  std::lock_guard lock(memory.mutex);
  const auto found = memory.allocations.find(static_cast<const char*>(pointer));
  if (found == memory.allocations.end()) return cudaErrorInvalidValue;
  const Allocation allocation = found->second;
  const std::size_t padded = round_up(allocation.bytes, kAlignment);
  for (std::size_t i = allocation.bytes; i < padded; ++i) {
    if (static_cast<unsigned char>(allocation.data[i]) != kFreshByte) {
      fail("device memory was written %zu bytes past the end of an allocation of %zu bytes at %p",
           i - allocation.bytes, allocation.bytes, pointer);
    }
  }
  DeviceRange& range = memory.ranges[static_cast<std::size_t>(device)];
  range.allocated_bytes -= padded;
  // At its own offset in the empty file, like the gaps around it: the system merges them into one
  // mapping, so opening a range does not become slower with every freed allocation.
  char* const begin = DeviceMemory::pages_begin(allocation);
  memory.map(begin,
             static_cast<std::size_t>(DeviceMemory::pages_end(allocation) - kPageBytes - begin),
             MAP_SHARED, memory.empty_file, PROT_READ | PROT_WRITE, begin - memory.base);
  memory.allocations.erase(found);
  return cudaSuccess;
}

Allocation find_allocation(const void* pointer) {
  auto& memory = DeviceMemory::get();
  std::lock_guard lock(memory.mutex);
  const auto found = memory.find(pointer);
  return found == memory.allocations.end() ? Allocation{} : found->second;
}

DeviceAccess::DeviceAccess(int device) : device_(device) {
  if (device < 0) return;
  auto& memory = DeviceMemory::get();
  std::lock_guard lock(memory.mutex);
  DeviceRange& range = memory.ranges[static_cast<std::size_t>(device)];
  if (range.open++ == 0) memory.protect(range);
}

DeviceAccess::~DeviceAccess() {
  if (device_ < 0) return;
  auto& memory = DeviceMemory::get();
  std::lock_guard lock(memory.mutex);
  DeviceRange& range = memory.ranges[static_cast<std::size_t>(device_)];
  if (--range.open == 0) memory.protect(range);
}

}  // namespace cuda_emulator
