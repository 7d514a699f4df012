#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace retinue {

/// The bytes of a whole file; nothing where there is none. A stream would report a file that cannot
/// be read as an empty or missing one.
///   where  first in messages: "[tokenizer]"
/// Throws: UsageError for a folder or where permission is missing; SystemError where the disk fails.
std::optional<std::string> read_file(const std::string& path, std::string_view where);

/// Reads `to.size()` bytes from `offset` on, in as many calls as that takes: a network's file system
/// may give fewer at once. Several threads may read one file.
///   returns  the bytes read, fewer at the end of the file; -1 with errno where the disk fails
std::int64_t read_at(int file, std::int64_t offset, std::span<std::byte> to);

}  // namespace retinue
