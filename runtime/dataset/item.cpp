#include "runtime/dataset/item.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

namespace retinue::runtime {
namespace {

/// Writes numbers in groups of seven bits, and texts behind their length.
class Writer {
 public:
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(0x80 | (value & 0x7F));
    bytes_ += static_cast<char>(value);
  }
  /// Zigzag: small negative numbers stay short.
  void signed_number(std::int64_t value) {
    number((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Checks every read. After the first invalid one all reads give zero or empty, and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) break;
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  std::int64_t signed_number() {
    const std::uint64_t value = number();
    return static_cast<std::int64_t>((value >> 1) ^ (0 - (value & 1)));
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > bytes_.size() - at_) {
      ok_ = false;
      return {};
    }
    const std::string value(bytes_.substr(at_, size));
    at_ += size;
    return value;
  }
  /// A count of entries; each takes at least a byte, so a larger count is invalid.
  std::uint64_t count() {
    const std::uint64_t value = number();
    if (value > bytes_.size() - at_) ok_ = false;
    return ok_ ? value : 0;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool finished() const { return ok_ && at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

void pack(Writer& out, const MediaReference& media) {
  out.number(media.kind == MediaKind::kVideo ? 1 : 0);
  out.number(std::bit_cast<std::uint64_t>(media.fps));
  out.number(media.files.size());
  for (const MediaFile& file : media.files) {
    out.number(static_cast<std::uint64_t>(file.place));
    out.text(file.path);
    if (file.place == MediaPlace::kWhole) continue;
    out.text(file.member);
    out.signed_number(file.offset);
    out.signed_number(file.bytes);
  }
}

MediaReference unpack_media(Reader& in) {
  MediaReference media;
  media.kind = in.number() == 1 ? MediaKind::kVideo : MediaKind::kImage;
  media.fps = std::bit_cast<double>(in.number());
  for (std::uint64_t left = in.count(); left > 0 && in.ok(); --left) {
    const auto place = static_cast<MediaPlace>(in.number());
    MediaFile file(in.text());
    file.place = place;
    if (place != MediaPlace::kWhole) {
      file.member = in.text();
      file.offset = in.signed_number();
      file.bytes = in.signed_number();
    }
    media.files.push_back(std::move(file));
  }
  return media;
}

template <class T>
void pack_value(Writer& out, const T& value) {
  if constexpr (std::is_same_v<T, double>)
    out.number(std::bit_cast<std::uint64_t>(value));
  else if constexpr (std::is_same_v<T, std::int64_t>)
    out.signed_number(value);
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    out.number(value);
  else if constexpr (std::is_same_v<T, std::string>)
    out.text(value);
  else {
    out.number(value.size());
    for (const auto& entry : value) pack_value(out, entry);
  }
}

template <class T>
void unpack_value(Reader& in, T& value) {
  if constexpr (std::is_same_v<T, double>)
    value = std::bit_cast<double>(in.number());
  else if constexpr (std::is_same_v<T, std::int64_t>)
    value = in.signed_number();
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    value = in.number();
  else if constexpr (std::is_same_v<T, std::string>)
    value = in.text();
  else
    for (std::uint64_t left = in.count(); left > 0 && in.ok(); --left)
      unpack_value(in, value.emplace_back());
}

template <class T>
void pack_optional(Writer& out, const std::optional<T>& value) {
  out.number(value ? 1 : 0);
  if (value) pack_value(out, *value);
}

template <class T>
void unpack_optional(Reader& in, std::optional<T>& value) {
  if (in.number() == 1) unpack_value(in, value.emplace());
}

void pack(Writer& out, const ItemSampling& sampling) {
  pack_optional(out, sampling.max_new_tokens);
  pack_optional(out, sampling.top_k);
  pack_optional(out, sampling.temperature);
  pack_optional(out, sampling.top_p);
  pack_optional(out, sampling.min_p);
  pack_optional(out, sampling.repetition_penalty);
  pack_optional(out, sampling.presence_penalty);
  pack_optional(out, sampling.seed);
  pack_optional(out, sampling.stop);
  pack_value(out, std::vector<std::int64_t>(sampling.stop_ids.begin(), sampling.stop_ids.end()));
  out.number((sampling.ignore_eos ? 1U : 0U) | (sampling.logprobs ? 2U : 0U));
}

ItemSampling unpack_sampling(Reader& in) {
  ItemSampling sampling;
  unpack_optional(in, sampling.max_new_tokens);
  unpack_optional(in, sampling.top_k);
  unpack_optional(in, sampling.temperature);
  unpack_optional(in, sampling.top_p);
  unpack_optional(in, sampling.min_p);
  unpack_optional(in, sampling.repetition_penalty);
  unpack_optional(in, sampling.presence_penalty);
  unpack_optional(in, sampling.seed);
  unpack_optional(in, sampling.stop);
  std::vector<std::int64_t> ids;
  unpack_value(in, ids);
  for (const std::int64_t id : ids) sampling.stop_ids.push_back(static_cast<std::int32_t>(id));
  const std::uint64_t flags = in.number();
  sampling.ignore_eos = (flags & 1) != 0;
  sampling.logprobs = (flags & 2) != 0;
  return sampling;
}

}  // namespace

std::string pack_item(const Item& item) {
  Writer out;
  out.text(item.id);
  out.text(item.source);
  out.signed_number(item.ordinal);
  out.number(item.media.size());
  for (const MediaReference& media : item.media) pack(out, media);
  // One number for both: an item without a system prompt packs as before there was one.
  out.number((item.prompt ? 1U : 0U) | (item.system ? 2U : 0U));
  if (item.prompt) out.text(*item.prompt);
  if (item.system) out.text(*item.system);
  out.text(item.messages);
  out.number(item.sampling ? 1 : 0);
  if (item.sampling) pack(out, *item.sampling);
  out.number(item.error ? 1 : 0);
  if (item.error) out.text(item.error->stage), out.text(item.error->message);
  return out.take();
}

std::optional<Item> unpack_item(std::string_view packed) {
  Reader in(packed);
  Item item;
  item.id = in.text();
  item.source = in.text();
  item.ordinal = in.signed_number();
  for (std::uint64_t left = in.count(); left > 0 && in.ok(); --left)
    item.media.push_back(unpack_media(in));
  const std::uint64_t texts = in.number();
  if ((texts & 1) != 0) item.prompt = in.text();
  if ((texts & 2) != 0) item.system = in.text();
  item.messages = in.text();
  if (in.number() == 1) item.sampling = unpack_sampling(in);
  if (in.number() == 1) {
    std::string stage = in.text();
    item.error = DataError{std::move(stage), in.text()};
  }
  if (!in.finished()) return std::nullopt;
  return item;
}

std::uint32_t predicted_cost(const Item& item) {
  // An image of common size, in tokens of 32 x 32 pixels. A photograph takes about five bytes for
  // 32 of its pixels.
  constexpr std::uint64_t kTokensPerImage = 1000, kTokensPerFrame = 250, kTokensPerVideo = 8000,
                          kBytesPerToken = 160;
  if (item.error) return 1;
  std::uint64_t tokens = (item.messages.size() + item.prompt.value_or("").size()) / 4;
  for (const MediaReference& media : item.media) {
    const bool video = media.kind == MediaKind::kVideo;
    for (const MediaFile& file : media.files) {
      const std::uint64_t usual = !video                    ? kTokensPerImage
                                  : media.files.size() == 1 ? kTokensPerVideo
                                                            : kTokensPerFrame;
      tokens += file.place == MediaPlace::kRange || file.place == MediaPlace::kBase64
                    ? std::clamp<std::uint64_t>(
                          static_cast<std::uint64_t>(file.bytes) / kBytesPerToken, 16, 16 * usual)
                    : usual;
    }
  }
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(tokens, 1, std::numeric_limits<std::uint32_t>::max()));
}

std::string describe(const Item& item) {
  std::string text = fmt::format("\"{}\"", item.id);
  if (!item.source.empty()) text += fmt::format(" of {}", item.source);
  std::vector<std::string> shown;
  for (const MediaReference& media : item.media)
    for (const MediaFile& file : media.files) shown.push_back(file.name());
  if (!shown.empty()) text += fmt::format(", shows {}", fmt::join(shown, ", "));
  if (item.prompt) text += fmt::format(", asks \"{}\"", *item.prompt);
  if (item.system) text += fmt::format(", system \"{}\"", *item.system);
  if (!item.messages.empty()) text += fmt::format(", messages {}", item.messages);
  if (item.sampling) text += ", with sampling of its own";
  if (item.error) text += fmt::format(", fails: {}", item.error->message);
  constexpr std::size_t kLongest = 300;
  return text.size() > kLongest ? text.substr(0, kLongest) + "…" : text;
}

}  // namespace retinue::runtime
