#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {

/// Writes the checksum of a header of 512 bytes at `at`.
inline void write_checksum(std::string& tar, std::size_t at) {
  tar.replace(at + 148, 8, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = at; i < at + 512; ++i) sum += static_cast<unsigned char>(tar[i]);
  std::array<char, 13> text;
  std::snprintf(text.data(), text.size(), "%06o", sum);
  tar.replace(at + 148, 7, text.data(), 7);
}

/// The same for all headers that have their magic number.
inline void mend_checksums(std::string& tar) {
  for (std::size_t at = 0; at + 512 <= tar.size(); at += 512)
    if (tar.compare(at + 257, 5, "ustar") == 0) write_checksum(tar, at);
}

/// A member of a tar archive: its header and its content.
///   type    '0' for a file, '1' and '2' for links, '6' for a pipe
///   target  of a link
inline std::string tar_entry(const std::string& name, char type, const std::string& target,
                             const std::string& content) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  std::array<char, 13> size;
  std::snprintf(size.data(), size.size(), "%011zo", content.size());
  header.replace(124, 11, size.data());
  header.replace(157, target.size(), target);
  header.replace(257, 5, "ustar");
  header[156] = type;
  write_checksum(header, 0);
  return header + content + std::string((512 - content.size() % 512) % 512, '\0');
}

/// A tar archive of these files: name, content.
inline std::string plain_tar(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out;
  for (const auto& [name, content] : members) out += tar_entry(name, '0', "", content);
  return out + std::string(1024, '\0');
}

}  // namespace retinue::runtime
