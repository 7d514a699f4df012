#include "runtime/media/container.h"

#include "tests/runtime/media/video_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

using test::bytes_of;
using test::container_video;

std::string fault_of(const std::string& file) {
  return container_fault(bytes_of(file)).value_or("");
}

std::string cut_to(std::string file, double part) {
  file.resize(static_cast<std::size_t>(static_cast<double>(file.size()) * part));
  return file;
}

/// The file with zeros from one part of it to another.
std::string zeroed(std::string file, double from, double to = 1.0) {
  const auto size = static_cast<double>(file.size());
  std::fill(file.begin() + static_cast<std::ptrdiff_t>(size * from),
            file.begin() + static_cast<std::ptrdiff_t>(size * to), '\0');
  return file;
}

/// Without the box of that name, at the top of an mp4 or within another box.
std::string renamed(std::string file, const std::string& box, const std::string& name) {
  file.replace(file.find(box), box.size(), name);
  return file;
}

TEST(Container, SoundFilesHaveNoFault) {
  for (const std::string& name : test::container_videos())
    EXPECT_EQ(fault_of(container_video(name)), "") << name;
  EXPECT_EQ(fault_of(""), "");
  EXPECT_EQ(fault_of("text"), "");
}

struct Case {
  std::string name, file, fault;
};

void expect_faults(const std::vector<Case>& cases) {
  for (const Case& each : cases) EXPECT_EQ(fault_of(each.file), each.fault) << each.name;
}

TEST(Container, AnMp4WithoutItsIndexSaysSo) {
  const std::string mp4 = container_video("h264.mp4"), first = container_video("index_first.mp4");
  const std::string fragments = container_video("fragments.mp4");
  constexpr const char* kNotFinished =
      "is incomplete: its index (the box moov) is missing, and nothing of it follows byte 40. The "
      "copy or the recording was not finished; copy it again.";
  expect_faults({
      {"cut within its pixels", cut_to(mp4, 0.4), kNotFinished},
      {"cut before its pixels", mp4.substr(0, 40),
       "is incomplete: its index (the box moov) is missing. The copy or the recording was not "
       "finished; copy it again."},
      {"an index under another name", renamed(mp4, "moov", "free"),
       "is incomplete: its index (the box moov) is missing. The copy or the recording was not "
       "finished; copy it again."},
      {"fragments alone", renamed(fragments, "moov", "free"),
       "is one segment of a stream: its index (the box moov) is missing, which the stream's first "
       "segment holds. Put that before it."},
      {"cut, with the index first: FFmpeg finds it", cut_to(first, 0.7), ""},
      {"zeros behind its end", mp4 + std::string(4096, '\0'), ""},
  });
}

std::string joined(std::size_t at) {
  return "is several videos one behind another: a second one begins at byte " + std::to_string(at) +
         ". Split it there, or join them with ffmpeg's concat demuxer.";
}

TEST(Container, ASecondVideoBehindTheFirstIsNamed) {
  for (const char* name : {"h264.mp4", "index_first.mp4", "fragments.mp4", "h264.mov", "h264.mkv",
                           "vp8.webm", "h264.flv", "sorenson.flv", "wmv2.wmv", "theora.ogv"}) {
    const std::string file = container_video(name);
    EXPECT_EQ(fault_of(file + file), joined(file.size())) << name;
  }
  const std::string gif = container_video("animation.gif"), mp4 = container_video("h264.mp4");
  const std::string avi = container_video("mjpeg.avi"), webm = container_video("vp8.webm");
  const std::string zeros(100, '\0');
  expect_faults({
      {"a GIF behind zeros", gif + zeros + gif, joined(gif.size() + 100)},
      {"a WebM behind zeros", webm + zeros + webm, joined(webm.size() + 100)},
      {"a GIF, then an mp4", gif + mp4, joined(gif.size())},
      {"an mp4, then a WebM", mp4 + webm, joined(mp4.size())},
      {"a WebM, then an mp4", webm + mp4, joined(webm.size())},
      {"an AVI, then an mp4", avi + mp4, joined(avi.size())},
  });
}

TEST(Container, PartsThatFFmpegReadsTogetherHaveNoFault) {
  for (const char* name :
       {"animation.gif", "mjpeg.avi", "mpeg4.avi", "h264.ts", "mpeg2.ts", "mpeg2.mpg"}) {
    const std::string file = container_video(name);
    EXPECT_EQ(fault_of(file + file), "") << name;
  }
}

TEST(Container, ACutFileEndsWithinOneOfItsParts) {
  const auto cut = [](const char* name) { return cut_to(container_video(name), 0.7); };
  const std::string mkv = container_video("h264.mkv"), wmv = container_video("wmv2.wmv");
  const auto shorter = [](const std::string& whole, std::size_t promised) {
    return "is incomplete: its header says " + std::to_string(promised) + " bytes, " +
           std::to_string(static_cast<std::size_t>(static_cast<double>(whole.size()) * 0.7)) +
           " are there. Copy it again.";
  };
  expect_faults({
      {"mkv", cut("h264.mkv"), shorter(mkv, mkv.size())},
      {"wmv", cut("wmv2.wmv"), shorter(wmv, wmv.size() - 92)},
      {"flv", cut("h264.flv"), "is incomplete: it ends within a tag. Copy it again."},
      {"ogv", cut("theora.ogv"), "is incomplete: it ends within a page. Copy it again."},
      {"ts", cut("h264.ts"), "is incomplete: it ends within a packet. Copy it again."},
      {"mpg", cut("mpeg2.mpg"), "is incomplete: it ends within a packet. Copy it again."},
  });
}

TEST(Container, AnFlvThatIsCutBetweenTagsIsShorterThanItsHeaderSays) {
  const std::string flv = container_video("sorenson.flv");
  // The tag of a frame begins behind the size of the one before, with 9 and its own size.
  std::size_t at = 13;
  for (int tags = 0; tags < 3; ++tags)
    at += 15 +
          (static_cast<unsigned char>(flv[at + 2]) << 8U | static_cast<unsigned char>(flv[at + 3]));
  std::string slow = flv.substr(0, at);
  EXPECT_EQ(fault_of(slow), "") << "a second less may be a writer's rounding";
  slow.replace(slow.find("duration") + 9, 8, std::string("\x40\x24\0\0\0\0\0\0", 8));
  EXPECT_EQ(fault_of(slow),
            "is incomplete: its header says 10.0 s, 0.1 s are there. Copy it again.");
}

TEST(Container, AnOggWithoutItsLastPageIsIncomplete) {
  const std::string ogv = container_video("theora.ogv");
  EXPECT_EQ(fault_of(ogv.substr(0, ogv.rfind("OggS"))),
            "is incomplete: the page that ends its stream is missing. Copy it again.");
}

TEST(Container, ZerosWherePartsShouldBeginAreDamage) {
  for (const char* name : {"mjpeg.avi", "mpeg4.avi", "h264.avi", "h264.flv", "h264.ts", "mpeg2.ts",
                           "theora.ogv", "wmv2.wmv"})
    for (const double from : {0.6, 0.8}) {
      const std::string fault = fault_of(zeroed(container_video(name), from));
      EXPECT_TRUE(fault.starts_with("is damaged: wanted a ")) << name << from << fault;
    }
}

TEST(Container, ATransportStreamThatLacksPacketsIsDamaged) {
  const std::string ts = container_video("h264.ts");
  std::string gap = ts;
  gap.erase(188 * 20, 188 * 3);
  EXPECT_EQ(fault_of(gap),
            "is damaged: packets of its video are missing before byte 4324. Copy it again.");
}

TEST(Container, ATransportStreamOfAnotherPacketSizeIsWalked) {
  const std::string ts = container_video("h264.ts");
  std::string m2ts;
  for (std::size_t at = 0; at < ts.size(); at += 188)
    m2ts += std::string(4, '\1') + ts.substr(at, 188);
  EXPECT_EQ(fault_of(m2ts), "");
  EXPECT_EQ(fault_of(m2ts.substr(0, m2ts.size() - 50)),
            "is incomplete: it ends within a packet. Copy it again.");
}

TEST(Container, AGifEndsAtItsMark) {
  const std::string gif = container_video("animation.gif");
  EXPECT_EQ(gif_bytes(bytes_of(gif)), gif.size());
  for (const std::string& behind :
       {std::string(4096, '\0'), std::string("garbage;"), std::string(";")})
    EXPECT_EQ(gif_bytes(bytes_of(gif + behind)), gif.size());
  EXPECT_EQ(gif_bytes(bytes_of(gif + gif)), gif.size() * 2);
  for (std::size_t length = 0; length < gif.size(); ++length)
    EXPECT_EQ(gif_bytes(bytes_of(gif.substr(0, length))), std::nullopt) << length;
}

TEST(Container, AnyCutOfAnyFileIsWalkedToItsEnd) {
  for (const std::string& name : test::container_videos()) {
    const std::string file = container_video(name);
    for (std::size_t length = 0; length < file.size(); length += file.size() / 97 + 1) {
      const std::string cut = file.substr(0, length);
      container_fault(bytes_of(cut));
      gif_bytes(bytes_of(cut));
    }
  }
}

}  // namespace
}  // namespace retinue::runtime
