#include "tests/support/cuda_emulator/src/host_memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace cuda_emulator {
namespace {

struct Range {
  std::size_t bytes;
  bool allocated;  // false: registered
};

std::mutex mutex;

std::map<const char*, Range>& ranges() {
  static auto* map = new std::map<const char*, Range>;
  return *map;
}

bool forget(void* pointer, bool allocated) {
  std::lock_guard lock(mutex);
  const auto found = ranges().find(static_cast<const char*>(pointer));
  if (found == ranges().end() || found->second.allocated != allocated) return false;
  ranges().erase(found);
  return true;
}

}  // namespace

void* allocate_host_memory(std::size_t bytes) {
  constexpr std::size_t kPage = 4096;
  void* data = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  if (data == nullptr) return nullptr;
  std::memset(data, 0xFF, bytes);
  std::lock_guard lock(mutex);
  ranges()[static_cast<const char*>(data)] = {bytes, true};
  return data;
}

bool release_host_memory(void* pointer) {
  if (!forget(pointer, true)) return false;
  std::free(pointer);
  return true;
}

bool register_host_memory(void* pointer, std::size_t bytes) {
  if (is_page_locked(pointer)) return false;
  std::lock_guard lock(mutex);
  ranges()[static_cast<const char*>(pointer)] = {bytes, false};
  return true;
}

bool unregister_host_memory(void* pointer) { return forget(pointer, false); }

bool is_page_locked(const void* pointer) {
  const auto* at = static_cast<const char*>(pointer);
  std::lock_guard lock(mutex);
  auto after = ranges().upper_bound(at);
  if (after == ranges().begin()) return false;
  --after;
  return at < after->first + after->second.bytes;
}

}  // namespace cuda_emulator
