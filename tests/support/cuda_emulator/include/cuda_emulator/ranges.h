#pragma once

#include <string>
#include <vector>

namespace cuda_emulator {

/// A named range that was opened with NVTX, or a mark.
struct Range {
  std::string domain;  // empty: the default one
  std::string name;
  int depth = 0;  // ranges of its thread around it
  bool is_mark = false;
};

/// All ranges of all threads since the start or forget_ranges(), in the order of opening.
std::vector<Range> opened_ranges();
void forget_ranges();
/// The open ranges of the calling thread.
int open_range_depth();

void open_range(const char* domain, const char* name);
/// Closes the innermost range; returns its depth, or -1 where none is open.
int close_range();
void record_mark(const char* domain, const char* name);

}  // namespace cuda_emulator
