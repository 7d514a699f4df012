#include "cuda_emulator/ranges.h"

#include <mutex>

namespace cuda_emulator {
namespace {

std::mutex mutex;
thread_local int depth = 0;

std::vector<Range>& recorded() {
  static auto* list = new std::vector<Range>;
  return *list;
}

void record(Range range) {
  const std::lock_guard lock(mutex);
  recorded().push_back(std::move(range));
}

}  // namespace

std::vector<Range> opened_ranges() {
  const std::lock_guard lock(mutex);
  return recorded();
}

void forget_ranges() {
  const std::lock_guard lock(mutex);
  recorded().clear();
}

int open_range_depth() { return depth; }

void open_range(const char* domain, const char* name) { record({domain, name, depth++, false}); }
int close_range() { return depth == 0 ? -1 : --depth; }
void record_mark(const char* domain, const char* name) { record({domain, name, depth, true}); }

}  // namespace cuda_emulator
