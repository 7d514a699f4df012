#include "runtime/media/container.h"

#include "runtime/media/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

namespace retinue::runtime {
namespace {

using namespace std::string_view_literals;
using Fault = std::optional<std::string>;

/// Reads integers of a foreign file, with bounds checks: 0 past the end.
class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> file)
      : text_(reinterpret_cast<const char*>(file.data()), file.size()) {}

  [[nodiscard]] std::uint64_t size() const { return text_.size(); }
  [[nodiscard]] std::uint64_t left(std::uint64_t at) const { return at < size() ? size() - at : 0; }
  [[nodiscard]] std::uint64_t big(std::uint64_t at, unsigned count) const {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < count; ++i) value = value << 8 | byte(at + i);
    return value;
  }
  [[nodiscard]] std::uint64_t little(std::uint64_t at, unsigned count) const {
    std::uint64_t value = 0;
    for (unsigned i = count; i-- > 0;) value = value << 8 | byte(at + i);
    return value;
  }
  [[nodiscard]] unsigned byte(std::uint64_t at) const {
    return at < size() ? static_cast<unsigned char>(text_[at]) : 0;
  }
  [[nodiscard]] bool has(std::uint64_t at, std::string_view mark) const {
    return at <= size() && text_.substr(at, mark.size()) == mark;
  }
  [[nodiscard]] std::string_view text(std::uint64_t at, std::uint64_t count) const {
    return at < size() ? text_.substr(at, count) : std::string_view();
  }
  [[nodiscard]] std::uint64_t find(std::string_view mark, std::uint64_t from) const {
    return std::min<std::uint64_t>(text_.find(mark, from), size());
  }

 private:
  std::string_view text_;
};

std::string joined(std::uint64_t at) {
  return fmt::format(
      "is several videos one behind another: a second one begins at byte {}. Split it there, or "
      "join them with ffmpeg's concat demuxer.",
      at);
}

std::string cut_within(std::string_view part) {
  return fmt::format("is incomplete: it ends within a {}. Copy it again.", part);
}

std::string no_part_at(std::string_view part, std::uint64_t at) {
  return fmt::format("is damaged: wanted a {} at byte {}, got other bytes. Copy it again.", part,
                     at);
}

std::string shorter(std::uint64_t promised, std::uint64_t there) {
  return fmt::format("is incomplete: its header says {} bytes, {} are there. Copy it again.",
                     promised, there);
}

/// Another video that begins there, behind the end of the first.
Fault video_at(const Bytes& file, std::uint64_t at) {
  const std::string_view head = file.text(at, 512);
  const auto kind = media_kind(std::as_bytes(std::span(head)));
  return kind == MediaKind::kVideo ? Fault(joined(at)) : std::nullopt;
}

bool is_zero(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
}

/// Whether zeros are where a part should begin. Writers leave none.
bool is_hole(const Bytes& file, std::uint64_t at) {
  const std::string_view head = file.text(at, 16);
  return head.size() >= 8 && is_zero(head);
}

// mp4, mov ----------------------------------------------------------------------------------------

bool is_box_name(std::string_view name) {
  return name.size() == 4 && std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; });
}

Fault fault_of_boxes(const Bytes& file) {
  bool index = false, fragments = false;
  std::uint64_t at = 0, begin = 0;
  while (file.left(at) >= 8) {
    const std::string_view name = file.text(at + 4, 4);
    std::uint64_t bytes = file.big(at, 4);
    if (bytes == 1) bytes = file.big(at + 8, 8);
    if (bytes == 0) bytes = file.left(at);
    if (!is_box_name(name) || bytes < 8) break;
    if (name == "ftyp") begin = at;
    if (name == "moov" && index) return joined(begin > 0 ? begin : at);
    index = index || name == "moov";
    fragments = fragments || name == "moof";
    if (bytes > file.left(at)) {
      if (index) return std::nullopt;  // the demuxer knows which frames are gone
      break;
    }
    at += bytes;
  }
  if (index) return video_at(file, at);
  if (fragments)
    return "is one segment of a stream: its index (the box moov) is missing, which the stream's "
           "first segment holds. Put that before it.";
  return fmt::format(
      "is incomplete: its index (the box moov) is missing{}. The copy or the recording was not "
      "finished; copy it again.",
      file.left(at) == 0 ? "" : fmt::format(", and nothing of it follows byte {}", at));
}

// mkv, webm ---------------------------------------------------------------------------------------

constexpr std::string_view kEbml = "\x1A\x45\xDF\xA3"sv, kSegment = "\x18\x53\x80\x67"sv;

/// An EBML number and its length; a length of 0 where there is none.
struct EbmlSize {
  std::uint64_t value = 0;
  unsigned bytes = 0;
  bool unknown = false;
};

EbmlSize ebml_size(const Bytes& file, std::uint64_t at) {
  const auto first = static_cast<std::uint8_t>(file.byte(at));
  if (first == 0) return {};
  const auto bytes = static_cast<unsigned>(std::countl_zero(first)) + 1;
  const std::uint64_t all = (std::uint64_t{1} << (7 * bytes)) - 1;
  const std::uint64_t value = file.big(at, bytes) & all;
  return {.value = value, .bytes = bytes, .unknown = value == all};
}

Fault fault_of_matroska(const Bytes& file) {
  const EbmlSize header = ebml_size(file, 4);
  std::uint64_t at = 4 + header.bytes + header.value;
  if (header.bytes == 0 || header.value > file.size() || !file.has(at, kSegment))
    return std::nullopt;
  const EbmlSize segment = ebml_size(file, at + 4);
  at += 4 + segment.bytes;
  if (!segment.unknown) {
    if (segment.value > file.left(at)) return shorter(segment.value + at, file.size());
    at += segment.value;
    if (auto other = video_at(file, at)) return other;
  }
  // The bytes of the mark alone may be part of a frame.
  for (at = file.find(kEbml, at); at < file.size(); at = file.find(kEbml, at + 4)) {
    const std::string_view head = file.text(at, 64);
    if (head.find("webm") != head.npos || head.find("matroska") != head.npos) return joined(at);
  }
  return std::nullopt;
}

// avi ---------------------------------------------------------------------------------------------

/// Only holes: FFmpeg reads much that no specification allows, and reports what is cut.
Fault fault_of_avi(const Bytes& file) {
  std::uint64_t at = 0, end = 0;
  while (file.left(at) >= 8 && (at < end || file.has(at, "RIFF"))) {
    const std::string_view name = file.text(at, 4), kind = file.text(at + 8, 4);
    const std::uint64_t bytes = file.little(at + 4, 4) + file.byte(at + 4) % 2;
    if (name == "RIFF") end = bytes > 0 && bytes < 0xFFFFFFF0 ? at + 8 + bytes : file.size();
    if (name == "RIFF" || (name == "LIST" && (kind == "movi" || kind == "rec "))) {
      at += 12;
      continue;
    }
    if (is_hole(file, at)) return no_part_at("chunk", at);
    if (!is_box_name(name)) return std::nullopt;
    at += 8 + bytes;
    if (name == "idx1") end = at;  // for files that do not know their size
  }
  return video_at(file, at);
}

// png ---------------------------------------------------------------------------------------------

Fault fault_of_png(const Bytes& file) {
  std::uint64_t frames = 0, promised = 0;
  for (std::uint64_t at = 8; file.left(at) > 0;) {
    const std::uint64_t bytes = 12 + file.big(at, 4);
    const std::string_view name = file.text(at + 4, 4);
    if (!is_box_name(name)) return no_part_at("chunk", at);
    if (bytes > file.left(at)) break;
    if (name == "acTL") promised = file.big(at + 8, 4);
    if (name == "fcTL") ++frames;
    at += bytes;
    if (name != "IEND") continue;
    if (frames < promised)
      return fmt::format("is damaged: its header says {} frames, {} are there. Copy it again.",
                         promised, frames);
    return file.has(at, "\x89PNG") ? Fault(joined(at)) : video_at(file, at);
  }
  return cut_within("chunk");
}

// webp --------------------------------------------------------------------------------------------

Fault fault_of_webp(const Bytes& file) {
  const std::uint64_t end = 8 + file.little(4, 4) + file.byte(4) % 2;
  if (end > file.size() + 1) return shorter(end, file.size());
  for (std::uint64_t at = 12; at < end;) {
    const std::uint64_t bytes = file.little(at + 4, 4);
    if (!is_box_name(file.text(at, 4))) return no_part_at("chunk", at);
    at += 8 + bytes + bytes % 2;
  }
  return file.has(end, "RIFF") ? Fault(joined(end)) : video_at(file, end);
}

// flv ---------------------------------------------------------------------------------------------

/// The duration in the script data of an FLV, in seconds; 0 without.
double flv_duration_s(std::string_view script) {
  constexpr auto kKey =
      "\0\x08"
      "duration\0"sv;
  const auto at = script.find(kKey);
  if (at == script.npos || script.size() < at + kKey.size() + 8) return 0;
  std::uint64_t bits = 0;
  for (const char c : script.substr(at + kKey.size(), 8))
    bits = bits << 8 | static_cast<unsigned char>(c);
  const auto seconds = std::bit_cast<double>(bits);
  return std::isfinite(seconds) ? seconds : 0;
}

Fault fault_of_flv(const Bytes& file) {
  double promised_s = 0, last_s = 0, gap_s = 0;
  for (std::uint64_t at = file.big(5, 4) + 4; file.left(at) > 0;) {
    if (file.has(at, "FLV\x01")) return joined(at);
    const unsigned type = file.byte(at) & 0x1F;
    if (type != 8 && type != 9 && type != 18) return no_part_at("tag", at);
    const std::uint64_t bytes = 11 + file.big(at + 1, 3);
    if (file.left(at) < bytes) return cut_within("tag");
    if (type == 18) {
      if (promised_s == 0) promised_s = flv_duration_s(file.text(at + 11, bytes - 11));
    } else {
      const double time_s =
          static_cast<double>(file.byte(at + 7) << 24U | file.big(at + 4, 3)) / 1000;
      gap_s = std::max(gap_s, time_s - last_s);
      last_s = std::max(last_s, time_s);
    }
    at += bytes + 4;  // each tag's size follows it
  }
  // Writers add the last frame's duration, and up to two frames of delay.
  if (last_s + 1 + 3 * gap_s < promised_s)
    return fmt::format(
        "is incomplete: its header says {:.1f} s, {:.1f} s are there. Copy it again.", promised_s,
        last_s);
  return std::nullopt;
}

// wmv, asf ----------------------------------------------------------------------------------------

constexpr auto kAsfHeader = "\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9\x00\xAA\x00\x62\xCE\x6C"sv;
constexpr auto kAsfData = "\x36\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9\x00\xAA\x00\x62\xCE\x6C"sv;

constexpr auto kAsfFile = "\xA1\xDC\xAB\x8C\x47\xA9\xCF\x11\x8E\xE4\x00\xC0\x0C\x20\x53\x65"sv;

/// The fault of the packets from `at` to `end`, all of one size.
Fault fault_of_asf_packets(const Bytes& file, std::uint64_t at, std::uint64_t end) {
  const std::uint64_t facts = file.find(kAsfFile, 0), bytes = file.little(facts + 92, 4);
  if (bytes == 0 || bytes != file.little(facts + 96, 4)) return std::nullopt;
  for (; at + bytes <= end; at += bytes)
    if (is_hole(file, at)) return no_part_at("packet", at);
  return std::nullopt;
}

Fault fault_of_asf(const Bytes& file) {
  std::uint64_t at = 0;
  while (file.left(at) >= 24) {
    if (at > 0 && file.has(at, kAsfHeader)) return joined(at);
    const bool data = file.has(at, kAsfData);
    std::uint64_t bytes = file.little(at + 16, 8);
    // A live recording does not know the size of its data.
    if (data && bytes <= 50) bytes = std::min(file.find(kAsfHeader, at), file.size()) - at;
    if (data && bytes > file.left(at)) return shorter(at + bytes, file.size());
    if (bytes < 24 || bytes > file.left(at)) break;
    if (data)
      if (auto fault = fault_of_asf_packets(file, at + 50, at + bytes)) return fault;
    at += bytes;
  }
  return std::nullopt;
}

// ogv ---------------------------------------------------------------------------------------------

Fault fault_of_ogg(const Bytes& file) {
  constexpr unsigned kBegins = 2, kEnds = 4;
  std::map<std::uint64_t, bool> ended;  // by the serial number of the stream
  const auto all_ended = [&] {
    return std::ranges::all_of(ended, [](const auto& stream) { return stream.second; });
  };
  for (std::uint64_t at = 0; file.left(at) > 0;) {
    if (!file.has(at, "OggS")) return no_part_at("page", at);
    const unsigned flags = file.byte(at + 5), segments = file.byte(at + 26);
    std::uint64_t bytes = 27 + std::uint64_t{segments};
    for (unsigned i = 0; i < segments; ++i) bytes += file.byte(at + 27 + i);
    if (bytes > file.left(at)) return cut_within("page");
    if ((flags & kBegins) != 0 && !ended.empty() && all_ended()) return joined(at);
    bool& end = ended[file.little(at + 14, 4)];
    end = end || (flags & kEnds) != 0;
    at += bytes;
  }
  if (!all_ended())
    return "is incomplete: the page that ends its stream is missing. Copy it again.";
  return std::nullopt;
}

// ts, mpg -----------------------------------------------------------------------------------------

/// The stretches of a file's video streams, by their numbers. FFmpeg reads one of them.
class Stretches {
 public:
  void note(unsigned stream, std::uint64_t at) {
    const auto [found, is_new] = stretches_.try_emplace(stream, at, at);
    found->second.second = at;
    if (is_new && stretches_.size() > 1) newest_ = stream;
  }
  [[nodiscard]] bool has(unsigned stream) const { return stretches_.contains(stream); }
  /// Where a stream begins after the end of another.
  [[nodiscard]] Fault fault() const {
    if (!newest_) return std::nullopt;
    const std::uint64_t begin = stretches_.at(*newest_).first;
    for (const auto& [stream, stretch] : stretches_)
      if (stretch.second < begin) return joined(begin);
    return std::nullopt;
  }

 private:
  std::map<unsigned, std::pair<std::uint64_t, std::uint64_t>> stretches_;
  std::optional<unsigned> newest_;
};

/// Follows the numbers of the packets of a transport stream, of each of its streams from 0 to 15 and
/// again. FFmpeg marks where they do not go on, but does not know joined streams from missing packets.
class PacketNumbers {
 public:
  Fault next(const Bytes& file, std::uint64_t at) {
    const auto id = static_cast<unsigned>(file.big(at + 1, 2) & 0x1FFF);
    const unsigned flags = file.byte(at + 3), number = flags & 15;
    const bool begins = (file.byte(at + 1) & 0x40) != 0, failed = (file.byte(at + 1) & 0x80) != 0;
    const std::uint64_t extra = (flags & 0x20) != 0 ? 1 + file.byte(at + 4) : 0;
    if ((flags & 0x10) == 0 || id == 0x1FFF) return std::nullopt;
    if (begins && file.big(at + 4 + extra, 3) == 1) {
      const unsigned code = file.byte(at + 7 + extra);
      if ((code & 0xF0) == 0xE0 || code == 0xFD) videos_.note(id, at);
    }
    const auto [found, is_new] = streams_.try_emplace(id);
    Stream& stream = found->second;
    const bool announced = extra > 1 && (file.byte(at + 5) & 0x80) != 0;
    const bool goes_on =
        is_new || announced || number == stream.number || number == ((stream.number + 1) & 15);
    if (id == 0 && !goes_on && number == 0) ++joints_;
    // Where streams are joined, the numbers of each begin again with a whole frame.
    const bool joint = begins && stream.joints < joints_;
    stream = {number, joints_};
    if (!videos_.has(id) || (!failed && (goes_on || joint))) return std::nullopt;
    return fmt::format(
        "is damaged: packets of its video are missing before byte {}. Copy it again.", at);
  }
  [[nodiscard]] Fault fault() const { return videos_.fault(); }

 private:
  struct Stream {
    unsigned number = 0;
    unsigned joints = 0;
  };
  std::map<unsigned, Stream> streams_;
  Stretches videos_;
  unsigned joints_ = 0;  ///< where the numbers of the table of programs, stream 0, begin again
};

Fault fault_of_transport_stream(const Bytes& file, TransportLayout layout) {
  PacketNumbers numbers;
  for (std::uint64_t at = 0; file.left(at) > 0; at += layout.packet_bytes) {
    if (file.left(at) < layout.packet_bytes) return cut_within("packet");
    if (file.byte(at + layout.sync) != 0x47) return no_part_at("packet", at);
    if (auto fault = numbers.next(file, at + layout.sync)) return fault;
  }
  return numbers.fault();
}

/// Bytes of the part of a program stream that begins with 00 00 01 and `code`; 0 for none.
std::uint64_t program_part_bytes(const Bytes& file, std::uint64_t at) {
  const unsigned code = file.byte(at + 3);
  if (code == 0xB9) return 4;  // the end of the program
  if (code == 0xBA && (file.byte(at + 4) & 0xC0) == 0x40) return 14 + (file.byte(at + 13) & 7U);
  if (code == 0xBA) return 12;  // of MPEG-1
  return code > 0xBA ? 6 + file.big(at + 4, 2) : 0;
}

Fault fault_of_program_stream(const Bytes& file) {
  // Sectors of discs are filled up with zeros.
  constexpr std::uint64_t kMostFilling = 2047;
  Stretches videos;
  for (std::uint64_t at = 0; file.left(at) > 0;) {
    std::uint64_t start = at;
    while (file.left(start) > 0 && file.byte(start) == 0) ++start;
    const bool at_end = file.left(start) == 0;
    if (start - at > kMostFilling + (at_end ? 0 : 2)) return no_part_at("packet", at);
    if (at_end) break;
    if (start - at < 2 || file.byte(start) != 1) return no_part_at("packet", at);
    const std::uint64_t bytes = program_part_bytes(file, start - 2);
    if (bytes == 0) return no_part_at("packet", start - 2);
    if (bytes > file.left(start - 2)) return cut_within("packet");
    const unsigned code = file.byte(start + 1);
    if ((code & 0xF0) == 0xE0) videos.note(code, start - 2);
    at = start - 2 + bytes;
  }
  return videos.fault();
}

}  // namespace

Fault container_fault(std::span<const std::byte> bytes) {
  const Bytes file(bytes);
  if (file.has(0, "GIF8")) {
    const std::uint64_t end = gif_bytes(bytes).value_or(file.size()),
                        second = file.find("GIF8", end);
    return second < file.size() ? Fault(joined(second)) : video_at(file, end);
  }
  if (file.has(0, "\x89PNG")) return fault_of_png(file);
  if (file.has(0, "RIFF") && file.has(8, "WEBP")) return fault_of_webp(file);
  if (file.has(0, kEbml)) return fault_of_matroska(file);
  if (file.has(0, "RIFF") && file.has(8, "AVI ")) return fault_of_avi(file);
  if (file.has(0, "FLV\x01")) return fault_of_flv(file);
  if (file.has(0, kAsfHeader)) return fault_of_asf(file);
  if (file.has(0, "OggS")) return fault_of_ogg(file);
  if (file.has(0, "\0\0\x01\xBA"sv)) return fault_of_program_stream(file);
  if (const auto layout = transport_layout(bytes)) return fault_of_transport_stream(file, *layout);
  const std::string_view box = file.text(4, 4);
  if (box == "ftyp" || box == "moov" || box == "mdat" || box == "wide" || box == "styp")
    return fault_of_boxes(file);
  return std::nullopt;
}

std::int64_t animation_frames(std::span<const std::byte> bytes) {
  const Bytes file(bytes);
  if (file.has(0, "\x89PNG")) {
    for (std::uint64_t at = 8; file.left(at) > 8; at += 12 + file.big(at, 4)) {
      if (file.has(at + 4, "IDAT")) break;
      if (file.has(at + 4, "acTL")) return static_cast<std::int64_t>(file.big(at + 8, 4));
    }
    return 1;
  }
  if (!file.has(0, "RIFF") || !file.has(8, "WEBP")) return 1;
  std::int64_t frames = 0;
  for (std::uint64_t at = 12; file.left(at) > 8;) {
    frames += file.has(at, "ANMF") ? 1 : 0;
    const std::uint64_t chunk = file.little(at + 4, 4);
    at += 8 + chunk + chunk % 2;
  }
  return std::max<std::int64_t>(frames, 1);
}

std::optional<std::size_t> gif_bytes(std::span<const std::byte> bytes) {
  constexpr unsigned kExtension = 0x21, kImage = 0x2C, kEnd = 0x3B;
  const Bytes file(bytes);
  const auto colours = [&](std::uint64_t flags_at) -> std::uint64_t {
    const unsigned flags = file.byte(flags_at);
    return (flags & 0x80) != 0 ? 3U << ((flags & 7) + 1) : 0;
  };
  std::optional<std::size_t> end;
  std::uint64_t at = 0;
  while (file.has(at, "GIF8")) {
    at += 13 + colours(at + 10);
    for (;; ++at) {
      const unsigned kind = file.byte(at);
      if (file.left(at) == 0 || (kind != kExtension && kind != kImage && kind != kEnd)) return end;
      if (kind == kEnd) break;
      at += kind == kImage ? 11 + colours(at + 9) : 2;
      while (file.byte(at) != 0) at += file.byte(at) + 1;  // the blocks of its data
    }
    end = ++at;
  }
  return end;
}

}  // namespace retinue::runtime
