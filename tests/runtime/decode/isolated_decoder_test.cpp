// This executable is its own isolated worker, see main(). The first bytes of a file decide how the
// worker misbehaves.
#include "runtime/decode/isolated_decoder.h"

#include "parallel/base/check.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/decode/isolated_protocol.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

FileBytes bytes_of(std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  return {at, at + text.size()};
}

std::string image(const std::string& name) {
  return std::string(RETINUE_SOURCE_DIR) + "/tests/golden/images/files/" + name;
}

/// Children of this process, by number.
std::vector<pid_t> children() {
  std::vector<pid_t> found;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream list(task.path() / "children");
    for (pid_t child = 0; list >> child;) found.push_back(child);
  }
  return found;
}

class IsolatedDecoderTest : public testing::Test {
 protected:
  IsolatedDecoderTest() {
    spec_.image = {.min_pixels = 4096, .max_pixels = 65536};
    limits_.seconds = 20;
  }

  std::string failure(const std::string& acts, const DecodeLimits& limits) {
    IsolatedDecoder decoder(spec_, {}, limits);
    const MediaReference media{MediaKind::kImage, {"odd"}, 0.0};
    const auto patches = decoder.patches(media, {bytes_of(acts)});
    const std::string message =
        patches.ok() ? "none" : "[" + patches.error().stage + "] " + patches.error().message;
    // The next request finds a worker that works.
    const MediaReference good{MediaKind::kImage, {image("png_rgb8.png")}, 0.0};
    EXPECT_TRUE(decoder.patches(good, **read_media(good)).ok());
    return message;
  }
  std::string failure(const std::string& acts) { return failure(acts, limits_); }

  VisionProcessorSpec spec_;
  DecodeLimits limits_;
};

TEST_F(IsolatedDecoderTest, GivesEveryImageAndEveryErrorAsThisProcessDoes) {
  IsolatedDecoder decoder(spec_, {}, limits_);
  int good = 0, bad = 0;
  for (const auto& entry : std::filesystem::directory_iterator(image(""))) {
    if (!entry.is_regular_file()) continue;
    const MediaReference media{MediaKind::kImage, {entry.path().string()}, 0.0};
    const MediaBytes files = read_media(media).value();
    const auto header = read_header(media, *files, spec_, {});
    const auto isolated = decoder.header(media, *files);
    ASSERT_EQ(header.ok(), isolated.ok()) << entry.path();
    if (header.ok()) {
      EXPECT_EQ(header->grid.grid_thw, isolated->grid.grid_thw) << entry.path();
      EXPECT_EQ(header->size, isolated->size) << entry.path();
    } else {
      EXPECT_EQ(header.error().stage, isolated.error().stage);
      EXPECT_EQ(header.error().message, isolated.error().message);
    }
    const auto patches = read_patches(media, *files, spec_, {});
    const auto isolated_patches = decoder.patches(media, *files);
    ASSERT_EQ(patches.ok(), isolated_patches.ok()) << entry.path();
    if (patches.ok()) {
      ++good;
      EXPECT_EQ(patches->grid_thw, isolated_patches->grid_thw) << entry.path();
      EXPECT_TRUE(patches->pixels == isolated_patches->pixels) << entry.path();
    } else {
      ++bad;
      EXPECT_EQ(patches.error().message, isolated_patches.error().message);
    }
  }
  EXPECT_GT(good, 50);
  EXPECT_GT(bad, 5);
  EXPECT_EQ(children().size(), 1U) << "bad data ends no worker";
}

/// In a build that reads no video files both give the same error.
TEST_F(IsolatedDecoderTest, GivesVideosAsThisProcessDoes) {
  IsolatedDecoder decoder(spec_, {}, limits_);
  int videos = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(RETINUE_SOURCE_DIR) +
                                                               "/tests/golden/video_files/files")) {
    ++videos;
    const MediaReference media{MediaKind::kVideo, {entry.path().string()}, 0.0};
    const MediaBytes files = read_media(media).value();
    const auto header = read_header(media, *files, spec_, {});
    const auto isolated = decoder.header(media, *files);
    ASSERT_EQ(header.ok(), isolated.ok()) << entry.path();
    const auto patches = read_patches(media, *files, spec_, {});
    const auto isolated_patches = decoder.patches(media, *files);
    ASSERT_EQ(patches.ok(), isolated_patches.ok()) << entry.path();
    if (header.ok() && patches.ok()) {
      EXPECT_EQ(header->grid.timestamps_s, isolated->grid.timestamps_s) << entry.path();
      EXPECT_TRUE(patches->pixels == isolated_patches->pixels) << entry.path();
    } else {
      EXPECT_EQ(patches.error().stage, isolated_patches.error().stage);
      EXPECT_EQ(patches.error().message, isolated_patches.error().message);
    }
  }
  EXPECT_GT(videos, 5);
}

TEST_F(IsolatedDecoderTest, GivesTheTimesOfAListOfFrames) {
  IsolatedDecoder decoder(spec_, {}, limits_);
  const std::string file = image("png_rgb8.png");
  const MediaReference media{MediaKind::kVideo, {file, file, file}, 2.0};
  const MediaBytes files = read_media(media).value();
  const auto header = read_header(media, *files, spec_, {});
  const auto isolated = decoder.header(media, *files);
  ASSERT_TRUE(header.ok() && isolated.ok());
  EXPECT_EQ(header->grid.timestamps_s, isolated->grid.timestamps_s);
  EXPECT_EQ(header->frames, isolated->frames);
  EXPECT_TRUE(read_patches(media, *files, spec_, {})->pixels ==
              decoder.patches(media, *files)->pixels);
}

TEST_F(IsolatedDecoderTest, NamesTheSignalThatKilledAWorker) {
  EXPECT_EQ(failure("acts: segv"), "[image] odd: its decoder died of SIGSEGV");
  EXPECT_EQ(failure("acts: abort"), "[image] odd: its decoder died of SIGABRT");
  EXPECT_EQ(failure("acts: kill"), "[image] odd: its decoder died of SIGKILL");
}

TEST_F(IsolatedDecoderTest, NamesTheExitCodeOfAWorker) {
  EXPECT_THAT(failure("acts: exit"), HasSubstr("ended with exit code 7"));
}

TEST_F(IsolatedDecoderTest, EndsAWorkerThatTakesTooLong) {
  DecodeLimits limits = limits_;
  limits.seconds = 1;
  EXPECT_THAT(failure("acts: sleep", limits), HasSubstr("its decoder took more than 1 s"));
}

#ifndef __SANITIZE_ADDRESS__  // which takes terabytes of addresses
TEST_F(IsolatedDecoderTest, ReportsAWorkerThatWantedTooMuchMemory) {
  // Less than ImageOptions::max_pixels, 1.2 GB as RGB.
  using namespace std::string_literals;
  std::string png = "\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\x4E\x20\0\0\x4E\x20\x08\x02\0\0\0"s;
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = 12; i < png.size(); ++i) {
    crc ^= static_cast<std::uint8_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  for (int shift = 24; shift >= 0; shift -= 8) png += static_cast<char>(~crc >> shift);
  png += "\0\0\0\0IDAT"s;
  DecodeLimits limits = limits_;
  limits.memory_bytes = std::int64_t{1} << 30;
  EXPECT_THAT(failure(png, limits), HasSubstr("wanted more than 1 GiB of memory"));
}

TEST_F(IsolatedDecoderTest, ReportsFilesThatAreTooLargeForAWorker) {
  DecodeLimits limits = limits_;
  limits.memory_bytes = std::int64_t{1} << 30;
  IsolatedDecoder decoder(spec_, {}, limits);
  const MediaReference media{MediaKind::kImage, {"large"}, 0.0};
  const auto patches = decoder.patches(media, {FileBytes(std::size_t{1} << 30)});
  ASSERT_FALSE(patches.ok());
  EXPECT_THAT(patches.error().message, HasSubstr("wanted more than 1 GiB of memory"));
}
#endif

TEST_F(IsolatedDecoderTest, RefusesInvalidAnswers) {
  for (const char* acts : {"acts: babble", "acts: wrong grid", "acts: wrong size", "acts: endless",
                           "acts: other request", "acts: no message"})
    EXPECT_THAT(failure(acts), HasSubstr("an answer that cannot be")) << acts;
}

TEST_F(IsolatedDecoderTest, FailsNoItemWhenAWorkerEndsBetweenTwoRequests) {
  IsolatedDecoder decoder(spec_, {}, limits_);
  const MediaReference good{MediaKind::kImage, {image("png_rgb8.png")}, 0.0};
  const MediaBytes files = read_media(good).value();
  ASSERT_TRUE(decoder.patches(good, *files).ok());
  ASSERT_EQ(children().size(), 1U);
  kill(children()[0], SIGKILL);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(decoder.patches(good, *files).ok());
}

TEST_F(IsolatedDecoderTest, LeavesNoProcessBehind) {
  {
    IsolatedDecoder decoder(spec_, {}, limits_);
    const MediaReference good{MediaKind::kImage, {image("png_rgb8.png")}, 0.0};
    const MediaBytes files = read_media(good).value();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&] { EXPECT_TRUE(decoder.patches(good, *files).ok()); });
  }
  EXPECT_TRUE(children().empty());
}

TEST_F(IsolatedDecoderTest, AWorkerHasItsLimitsAndNoFileOfTheRank) {
  const test::TemporaryFolder folder;
  std::FILE* kept_open = std::fopen(folder.path("open").c_str(), "w");  // not closed on exec
  IsolatedDecoder decoder(spec_, {}, limits_);
  const MediaReference good{MediaKind::kImage, {image("png_rgb8.png")}, 0.0};
  ASSERT_TRUE(decoder.patches(good, **read_media(good)).ok());
  ASSERT_EQ(children().size(), 1U);
  const std::string worker = "/proc/" + std::to_string(children()[0]);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(worker + "/fd"), {}), 3);
  const auto text_of = [&](const std::string& name) {
    std::ifstream file(worker + name);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const std::string limits = text_of("/limits");
  EXPECT_THAT(limits, testing::ContainsRegex("Max open files +16 "));
  EXPECT_THAT(limits, testing::ContainsRegex("Max core file size +0 "));
  EXPECT_THAT(limits, testing::ContainsRegex("Max cpu time +2[0-9] "));
#ifndef __SANITIZE_ADDRESS__
  EXPECT_THAT(limits, testing::ContainsRegex("Max address space +4294967296 "));
#endif
  EXPECT_THAT(text_of("/status"), HasSubstr("NoNewPrivs:\t1"));
  std::fclose(kept_open);
}

TEST_F(IsolatedDecoderTest, ReportsAProgramThatCannotBeStarted) {
  IsolatedDecoder decoder(spec_, {}, limits_, "/no/such/program");
  const MediaReference media{MediaKind::kImage, {"x"}, 0.0};
  try {
    (void)decoder.header(media, {FileBytes()});
    FAIL() << "no error";
  } catch (const SystemError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/no/such/program"));
  }
}

TEST(IsolatedWorker, IsNotForPeople) { EXPECT_THROW(run_isolated_worker({}), UsageError); }

void send_answer(AnswerHead head, std::string_view body) {
  (void)!send(0, &head, sizeof(head), MSG_NOSIGNAL);
  (void)!send(0, body.data(), body.size(), MSG_NOSIGNAL);
}

/// As a worker: peeks at the request and misbehaves as its file says.
void act() {
  std::string seen(4096, '\0');
  RequestHead head;
  ssize_t got = 0;
  // The file follows the heads.
  for (int looks = 0; looks < 2000; ++looks) {
    got = recv(0, seen.data(), seen.size(), MSG_PEEK);
    if (got <= 0) return;
    std::memcpy(&head, seen.data(), sizeof(head));
    if (static_cast<std::size_t>(got) > sizeof(head) + head.head_bytes) break;
    usleep(1000);
  }
  const std::string_view file = std::string_view(seen.data(), static_cast<std::size_t>(got))
                                    .substr(sizeof(head) + head.head_bytes);
  const auto asks = [&](std::string_view what) {
    return file.starts_with("acts: ") && file.substr(6) == what;
  };
  if (asks("segv")) {
    std::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would exit instead
    raise(SIGSEGV);
  }
  if (asks("abort")) std::abort();
  if (asks("kill")) raise(SIGKILL);
  if (asks("exit")) _exit(7);
  if (asks("sleep")) sleep(100);
  if (asks("babble")) send_answer({.mark = 5}, "");
  if (asks("no message")) send_answer({.kind = AnswerKind::kError, .body_bytes = 3}, "xyz");
  if (asks("endless"))
    send_answer({.kind = AnswerKind::kError, .body_bytes = std::uint64_t{1} << 60}, "");
  if (asks("other request")) send_answer({.kind = AnswerKind::kHeader}, "");
  if (asks("wrong grid"))
    send_answer({.kind = AnswerKind::kPatches,
                 .body_bytes = 1536,
                 .grid_thw = {std::int64_t{1} << 40, std::int64_t{1} << 40, 2}},
                "");
  if (asks("wrong size"))
    send_answer({.kind = AnswerKind::kPatches, .body_bytes = 1536, .grid_thw = {1, 2, 2}}, "");
}

}  // namespace

}  // namespace retinue::runtime

int main(int argc, char** argv) {
  using namespace retinue::runtime;
  if (argc > 1 && argv[1] == std::string_view(kIsolatedWorkerVerb)) {
    act();
    return run_isolated_worker({argv + 2, argv + argc});
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
