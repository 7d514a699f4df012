#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include <string_view>

namespace retinue {

/// Whether a file begins as the pointer that Git LFS leaves in place of a file until `git lfs pull`.
/// Git LFS specification: spec.md, "The Pointer".
constexpr bool is_git_lfs_pointer(std::string_view head) {
  return head.starts_with("version https://git-lfs.github.com/");
}

/// What is wrong with such a file, and what to do. For messages, behind the file's name.
inline constexpr std::string_view kGitLfsPointer =
    "is a pointer of Git LFS, wanted the file itself. Run git lfs pull in the folder, or download "
    "the "
    "file again.";

}  // namespace retinue
