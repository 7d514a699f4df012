#include "layers/weights/safetensors.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/git_lfs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace retinue::layers {

namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

[[noreturn]] void fail(const std::string& path, const std::string& message) {
  throw UsageError(fmt::format("[safetensors] {}: {}", path, message));
}

struct TypeName {
  std::string_view name;
  StoredType type;
};
constexpr std::array<TypeName, 7> kTypes = {{{"F32", StoredType::kF32},
                                             {"F16", StoredType::kF16},
                                             {"BF16", StoredType::kBF16},
                                             {"F8_E4M3", StoredType::kF8E4M3},
                                             {"I64", StoredType::kI64},
                                             {"I32", StoredType::kI32},
                                             {"U8", StoredType::kU8}}};

StoredType parse_type(const std::string& path, const std::string& tensor, const std::string& text) {
  for (const TypeName& known : kTypes)
    if (known.name == text) return known.type;
  fail(path,
       fmt::format(
           "tensor {} has dtype {}, which is not served (F32, F16, BF16, F8_E4M3, I64, I32, U8 "
           "are). Use a checkpoint that is saved in one of these.",
           tensor, text));
}

/// Refuses a key that appears twice: nlohmann would silently keep the last one.
nlohmann::json parse_json(const std::string& path, std::string_view text) {
  refuse_many_levels(text, "[checkpoint] " + path);
  std::set<std::string> seen;
  std::string twice;
  const auto callback = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1)
      if (!seen.insert(value.get<std::string>()).second) twice = value.get<std::string>();
    return true;
  };
  nlohmann::json header = nlohmann::json::parse(text, callback, false);
  if (header.is_discarded() || !header.is_object())
    fail(path, "the header is not a JSON object. Copy the file again.");
  if (!twice.empty()) fail(path, fmt::format("the header names tensor {} twice", twice));
  return header;
}

bool is_well_formed(const nlohmann::json& entry) {
  const auto is_size = [](const nlohmann::json& value) { return value.is_number_unsigned(); };
  return entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() &&
         entry.contains("shape") && entry["shape"].is_array() &&
         std::all_of(entry["shape"].begin(), entry["shape"].end(), is_size) &&
         entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
         entry["data_offsets"].size() == 2 && is_size(entry["data_offsets"][0]) &&
         is_size(entry["data_offsets"][1]);
}

Shape parse_shape(const std::string& path, const std::string& name, const nlohmann::json& dims) {
  if (dims.size() > Shape::kMaxRank)
    fail(path, fmt::format("tensor {} has {} dimensions, at most {} are served", name, dims.size(),
                           +Shape::kMaxRank));
  // No product may overflow: none passes 2^48, which is more than any file.
  std::uint64_t count = 1;
  std::vector<std::int64_t> shape;
  for (const nlohmann::json& value : dims) {
    const auto dim = value.get<std::uint64_t>();
    if (dim > (std::uint64_t{1} << 48) || (dim > 0 && count > (std::uint64_t{1} << 48) / dim))
      fail(path, fmt::format("tensor {} claims an impossible shape {}", name, dims.dump()));
    shape.push_back(static_cast<std::int64_t>(dim));
    count *= dim;
  }
  return Shape(shape);
}

StoredTensor parse_tensor(const std::string& path, const std::string& name,
                          const nlohmann::json& entry, std::span<const std::byte> data) {
  if (!is_well_formed(entry))
    fail(path, fmt::format("tensor {} lacks a well-formed dtype, shape or data_offsets", name));
  StoredTensor tensor;
  tensor.type = parse_type(path, name, entry["dtype"].get<std::string>());
  tensor.shape = parse_shape(path, name, entry["shape"]);
  const auto begin = entry["data_offsets"][0].get<std::uint64_t>();
  const auto end = entry["data_offsets"][1].get<std::uint64_t>();
  const std::uint64_t wanted =
      static_cast<std::uint64_t>(tensor.shape.numel()) * size_bytes(tensor.type);
  if (begin > end || end > data.size())
    fail(path, fmt::format("tensor {} lies at bytes {} to {} of {} bytes of data. The copy is "
                           "incomplete; copy it again.",
                           name, begin, end, data.size()));
  if (end - begin != wanted)
    fail(path,
         fmt::format("tensor {} of shape {} and dtype {} takes {} bytes, the header gives it {}",
                     name, entry["shape"].dump(), entry["dtype"].get<std::string>(), wanted,
                     end - begin));
  tensor.bytes = data.subspan(begin, end - begin);
  return tensor;
}

}  // namespace

std::size_t size_bytes(StoredType type) {
  switch (type) {
    case StoredType::kI64:
      return 8;
    case StoredType::kF32:
    case StoredType::kI32:
      return 4;
    case StoredType::kF16:
    case StoredType::kBF16:
      return 2;
    case StoredType::kF8E4M3:
    case StoredType::kU8:
      return 1;
  }
  return 1;
}

std::string to_string(StoredType type) {
  const auto* known = std::ranges::find(kTypes, type, &TypeName::type);
  return std::string(known->name);
}

std::map<std::string, StoredTensor> parse_safetensors_header(const std::string& path,
                                                             std::string_view header,
                                                             std::span<const std::byte> data) {
  std::map<std::string, StoredTensor> tensors;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  const nlohmann::json root = parse_json(path, header);
  for (const auto& [name, entry] : root.items()) {
    if (name == "__metadata__") continue;
    const StoredTensor tensor = parse_tensor(path, name, entry, data);
    if (const std::size_t size = tensor.bytes.size(); size > 0) {
      const auto begin = static_cast<std::uint64_t>(tensor.bytes.data() - data.data());
      ranges.emplace_back(begin, begin + size);
    }
    tensors.emplace(name, tensor);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at)
      fail(path, fmt::format("the header's byte ranges {} at byte {}",
                             begin < at ? "overlap" : "leave a hole", at));
    at = end;
  }
  if (at != data.size())
    fail(path,
         fmt::format(
             "the header describes {} bytes of data, the file has {}. The copy is damaged; copy it "
             "again.",
             at, data.size()));
  return tensors;
}

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  map_file();
  try {
    parse_header();
  } catch (...) {
    close_file();
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() { close_file(); }

void SafetensorsFile::close_file() {
  ::munmap(const_cast<std::byte*>(file_.data()), file_.size());
  ::close(descriptor_);
}

void SafetensorsFile::read(const std::string& tensor, std::int64_t offset,
                           std::span<std::byte> to) const {
  const std::byte* first = tensors_.at(tensor).bytes.data() + offset;
  const std::int64_t begin = first - file_.data();
  const std::int64_t got = read_at(descriptor_, begin, to);
  if (got < 0)
    throw SystemError(fmt::format("[safetensors] {}: tensor {} cannot be read at byte {}: {}",
                                  path_, tensor, begin, std::strerror(errno)));
  if (got < static_cast<std::int64_t>(to.size()))
    throw SystemError(
        fmt::format("[safetensors] {}: tensor {} ends at byte {} of {}: the file became shorter "
                    "since it was opened. Is a copy still running?",
                    path_, tensor, begin + got, file_.size()));
}

// The mapping serves the header, and addresses of tensors; read() does not go through it.
void SafetensorsFile::map_file() {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    fail(path_,
         fmt::format("cannot be opened: {}. Is the checkpoint complete?", std::strerror(errno)));
  struct stat info {};
  const bool known = ::fstat(fd, &info) == 0;
  const auto size = static_cast<std::size_t>(known && info.st_size > 0 ? info.st_size : 0);
  if (size < 8) {
    ::close(fd);
    fail(path_, fmt::format("has {} bytes, a safetensors file has at least 8. The copy is "
                            "incomplete; copy it again.",
                            size));
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    ::close(fd);
    throw SystemError(
        fmt::format("[safetensors] {}: cannot be mapped: {}", path_, std::strerror(error)));
  }
  descriptor_ = fd;
  file_ = {static_cast<const std::byte*>(data), size};
}

void SafetensorsFile::parse_header() {
  if (is_git_lfs_pointer({reinterpret_cast<const char*>(file_.data()), file_.size()}))
    fail(path_, std::string(kGitLfsPointer));
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 0; i < 8; ++i)
    header_bytes |= std::uint64_t{static_cast<std::uint8_t>(file_[i])} << (8 * i);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_.size() - 8)
    fail(path_,
         fmt::format(
             "claims a header of {} bytes, the file has {} in all. It is damaged or no safetensors "
             "file; copy it again.",
             header_bytes, file_.size()));
  const std::string_view header(reinterpret_cast<const char*>(file_.data()) + 8, header_bytes);
  tensors_ = parse_safetensors_header(path_, header, file_.subspan(8 + header_bytes));
}

}  // namespace retinue::layers
