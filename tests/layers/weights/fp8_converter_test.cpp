#include "layers/weights/fp8_converter.h"

#include "layers/spec/config.h"
#include "layers/weights/safetensors_stream.h"
#include "layers/weights/weight_source.h"
#include "tests/support/source_folder.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace retinue::layers {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

const std::string kCaptioner = test::source_folder() + "/configs/models/emoji-captioner";
const std::string kDown = "model.language_model.layers.1.mlp.down_proj";

nlohmann::json json_of(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

/// The captioner in two shards, as save_pretrained writes large models.
void write_sharded(const std::string& folder) {
  const Checkpoint whole(kCaptioner);
  const std::vector<std::string> names = whole.names();
  nlohmann::json index;
  fs::copy(kCaptioner, folder);
  fs::remove(folder + "/model.safetensors");
  for (int shard = 0; shard < 2; ++shard) {
    const std::string file = "model-0000" + std::to_string(shard + 1) + "-of-00002.safetensors";
    std::vector<SafetensorsStream::Entry> entries;
    for (std::size_t i = static_cast<std::size_t>(shard); i < names.size(); i += 2) {
      entries.push_back({names[i], whole.find(names[i])->type, whole.find(names[i])->shape});
      index["weight_map"][names[i]] = file;
    }
    SafetensorsStream stream(folder + "/" + file, entries);
    for (const SafetensorsStream::Entry& entry : entries)
      stream.write(whole.find(entry.name)->bytes);
    stream.finish();
  }
  std::ofstream(folder + "/model.safetensors.index.json") << index;
}

std::vector<float> read(CheckpointSource& source, const std::string& name, const Shape& shape,
                        DType dtype) {
  const Shape matrix{shape[0], shape.numel() / shape[0]};
  std::vector<std::byte> bytes(static_cast<std::size_t>(shape.numel()) * size_bytes(dtype));
  const TensorView to(bytes.data(), dtype, matrix);
  source.read(name, shape, {0, matrix[0], 0, matrix[1]}, to);
  std::vector<float> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i)
    values.push_back(dtype == DType::kF32 ? to.data<float>()[i]
                                          : to_float(to.data<Float8E4M3>()[i]));
  return values;
}

std::string refusal(const std::string& from, const std::string& to) {
  try {
    (void)convert_to_fp8(from, to, 1, [](auto, auto) {});
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(Fp8Converter, EachBlockIsScaledByItsLargestWeightAndRoundedToNearest) {
  const test::TemporaryFolder folder;
  convert_to_fp8(kCaptioner, folder.path("fp8"), 3, [](auto, auto) {});
  CheckpointSource before(kCaptioner), after(folder.path("fp8"));
  const Shape shape{192, 512}, blocks{2, 4};  // the last row of blocks has 64 rows
  const auto weights = read(before, kDown + ".weight", shape, DType::kF32);
  const auto values = read(after, kDown + ".weight", shape, DType::kF8E4M3);
  const auto scales = read(after, kDown + ".weight_scale_inv", blocks, DType::kF32);
  std::vector<float> most(8);
  const auto block_of = [](std::int64_t i) {
    return static_cast<std::size_t>(i / 512 / 128 * 4 + i % 512 / 128);
  };
  for (std::int64_t i = 0; i < shape.numel(); ++i)
    most[block_of(i)] = std::max(most[block_of(i)], std::abs(weights[static_cast<std::size_t>(i)]));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const float scale = scales[block_of(i)];
    EXPECT_EQ(scale, most[block_of(i)] / 448);
    // Half a step: 2⁻⁴ of the value, and 2⁻¹⁰ below the normal numbers.
    EXPECT_LE(std::abs(weights[at] - values[at] * scale),
              std::max(std::abs(weights[at]) * 0x1.01p-4F, scale * 0x1.01p-10F));
  }
}

TEST(Fp8Converter, TheOtherTensorsAndTheSmallFilesAreCopies) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder.path("from"));
  write_sharded(folder.path("from"));
  std::ofstream(folder.path("from") + "/pytorch_model.bin") << "old";
  std::int64_t done = 0, all = 0;
  const Fp8Conversion result = convert_to_fp8(folder.path("from"), folder.path("to/"), 2,
                                              [&](auto read, auto of) { done = read, all = of; });
  EXPECT_EQ(done, all);
  EXPECT_EQ(result.read_bytes, all);
  EXPECT_EQ(result.modules, 8) << "o_proj and down_proj of four layers";
  EXPECT_EQ(result.kept.size(), 20U) << "192 inputs are no whole blocks";
  EXPECT_THAT(result.left_out, testing::ElementsAre("README.md", "pytorch_model.bin"));
  const Checkpoint before(folder.path("from")), after(folder.path("to"));
  for (const std::string& name : before.names()) {
    if (name.find("o_proj") != name.npos || name.find("down_proj") != name.npos) continue;
    ASSERT_NE(after.find(name), nullptr) << name;
    EXPECT_TRUE(std::ranges::equal(before.find(name)->bytes, after.find(name)->bytes)) << name;
    EXPECT_EQ(before.find(name)->shape, after.find(name)->shape) << name;
  }
  EXPECT_EQ(after.names().size(), before.names().size() + 8);
  EXPECT_EQ(json_of(folder.path("to") + "/tokenizer.json"),
            json_of(kCaptioner + "/tokenizer.json"));
  EXPECT_EQ(json_of(folder.path("to") + "/model.safetensors.index.json")["metadata"]["total_size"],
            result.written_bytes);
  EXPECT_FALSE(fs::exists(folder.path("to.part")));
}

TEST(Fp8Converter, TheConfigurationSaysWhatIsFp8) {
  const test::TemporaryFolder folder;
  convert_to_fp8(kCaptioner, folder.path("fp8"), 1, [](auto, auto) {});
  const ModelConfig config = load_model_config(folder.path("fp8"));
  ASSERT_TRUE(config.fp8);
  EXPECT_TRUE(config.fp8->covers(kDown));
  EXPECT_FALSE(config.fp8->covers("model.language_model.layers.1.mlp.up_proj"));
  const auto names =
      json_of(folder.path("fp8") + "/config.json")["quantization_config"]["modules_to_not_convert"]
          .get<std::vector<std::string>>();
  EXPECT_THAT(names, Contains("lm_head"));
  for (const char* prefix : {"", "model."})
    EXPECT_THAT(names, Contains(std::string(prefix) + "visual.blocks.5.mlp.linear_fc2"));
}

TEST(Fp8Converter, WhatCannotBeConvertedIsRefusedAndLeavesNothing) {
  const test::TemporaryFolder folder;
  const std::string to = folder.path("fp8");
  EXPECT_THAT(refusal(test::source_folder() + "/tests/golden/model/configs/sharded", to),
              AllOf(HasSubstr("whole blocks"), HasSubstr("96")));
  EXPECT_EQ(refusal(kCaptioner, to), "");
  EXPECT_THAT(refusal(kCaptioner, to), HasSubstr("Choose another --output"));
  EXPECT_THAT(refusal(to, folder.path("again")), HasSubstr("FP8 checkpoint already. Use it"));
  EXPECT_THROW(convert_to_fp8(folder.path(), folder.path("none"), 1, [](auto, auto) {}),
               UsageError);
  EXPECT_FALSE(fs::exists(folder.path("none")) || fs::exists(folder.path("none.part")));
  fs::copy(kCaptioner, folder.path("other"));
  nlohmann::json config = json_of(kCaptioner + "/config.json");
  config["text_config"]["intermediate_size"] = 1024;
  std::ofstream(folder.path("other") + "/config.json") << config;
  EXPECT_THAT(refusal(folder.path("other"), folder.path("none")),
              AllOf(HasSubstr("mlp.down_proj.weight"), HasSubstr("[192, 1024]")));
  EXPECT_FALSE(fs::exists(folder.path("none.part")));
  folder.write("old.part/photo.png", "mine");
  folder.write("old.part/lock", "that of a job");
  EXPECT_THAT(refusal(kCaptioner, folder.path("old")), HasSubstr("Remove it, or choose another"));
  EXPECT_TRUE(fs::exists(folder.path("old.part/photo.png")));
  fs::create_symlink(folder.path("loop"), folder.path("loop"));
  EXPECT_THAT(refusal(kCaptioner, folder.path("loop")), HasSubstr("cannot be reached"));
  folder.write("file.part", "mine");
  EXPECT_THAT(refusal(kCaptioner, folder.path("file")), HasSubstr("Remove it, or choose another"));
}

/// A copy of the captioner whose only shard has a name of its own, and whose configuration says
/// float32.
void write_one_shard(const std::string& folder) {
  fs::copy(kCaptioner, folder);
  fs::rename(folder + "/model.safetensors", folder + "/model-00001-of-00001.safetensors");
  nlohmann::json index;
  for (const std::string& name : Checkpoint(kCaptioner).names())
    index["weight_map"][name] = "model-00001-of-00001.safetensors";
  std::ofstream(folder + "/model.safetensors.index.json") << index;
  nlohmann::json config = json_of(kCaptioner + "/config.json");
  config["dtype"] = "float32", config["text_config"]["torch_dtype"] = "float32";
  std::ofstream(folder + "/config.json") << config;
}

TEST(Fp8Converter, OneShardWithANameOfItsOwnKeepsItsIndex) {
  const test::TemporaryFolder folder;
  write_one_shard(folder.path("from"));
  EXPECT_EQ(refusal(folder.path("from") + "/", folder.path("to")), "");
  EXPECT_NE(Checkpoint(folder.path("to")).find(kDown + ".weight_scale_inv"), nullptr);
}

TEST(Fp8Converter, AnotherDtypeBecomesBfloat16WithWhichFp8IsMultiplied) {
  const test::TemporaryFolder folder;
  write_one_shard(folder.path("from"));
  ASSERT_EQ(load_model_config(folder.path("from")).dtype, DType::kF32);
  EXPECT_EQ(refusal(folder.path("from"), folder.path("to")), "");
  EXPECT_EQ(load_model_config(folder.path("to")).dtype, DType::kBF16);
}

TEST(Fp8Converter, FilesOfTheSourceAreKnownBehindASlash) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(convert_to_fp8(kCaptioner + "//", folder.path("to"), 1, [](auto, auto) {}).left_out,
              testing::ElementsAre("README.md"));
}

TEST(Fp8Converter, ALinkToAnEmptyFolderIsFollowedAndOneToNothingRefused) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder.path("real"));
  fs::create_symlink(folder.path("real"), folder.path("link"));
  fs::create_symlink(folder.path("gone"), folder.path("dangling"));
  EXPECT_EQ(refusal(kCaptioner, folder.path("link")), "");
  EXPECT_TRUE(fs::is_symlink(folder.path("link")));
  EXPECT_TRUE(fs::exists(folder.path("real") + "/config.json"));
  EXPECT_THAT(refusal(kCaptioner, folder.path("dangling")), HasSubstr("link to nothing"));
}

TEST(Fp8Converter, AFolderThatCannotBeReplacedIsRefusedFirst) {
  const test::TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  EXPECT_THAT(refusal(kCaptioner, "."), HasSubstr("current folder"));
  fs::current_path(before);
}

TEST(Fp8Converter, TheModelCardOfTheSourceIsLeftOut) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(fs::exists(kCaptioner + "/README.md"));
  EXPECT_EQ(refusal(kCaptioner, folder.path("to")), "");
  EXPECT_FALSE(fs::exists(folder.path("to/README.md")));
}

TEST(Fp8Converter, WhatEndsItLeavesNothing) {
  const test::TemporaryFolder folder;
  const std::string to = folder.path("fp8");
  const auto stop_half_way = [](std::int64_t read, std::int64_t all) {
    if (2 * read > all) throw SystemError("stopped");
  };
  EXPECT_THROW(convert_to_fp8(kCaptioner, to, 1, stop_half_way), SystemError);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Fp8Converter, WhatAKilledConversionLeftIsReplaced) {
  const test::TemporaryFolder folder;
  folder.write("fp8.part/.retinue-quantize", "");
  folder.write("fp8.part/model.safetensors.part", "half");
  folder.write("fp8.part/old/file", "old");
  EXPECT_EQ(refusal(kCaptioner, folder.path("fp8")), "");
  for (const char* left :
       {"fp8.part", "fp8/.retinue-quantize", "fp8/model.safetensors.part", "fp8/old"})
    EXPECT_FALSE(fs::exists(folder.path(left))) << left;
  EXPECT_TRUE(load_model_config(folder.path("fp8")).fp8);
}

TEST(Fp8Converter, TwoConversionsDoNotWriteToOneFolder) {
  const test::TemporaryFolder folder;
  const std::string to = folder.path("fp8");
  std::string second;
  convert_to_fp8(kCaptioner, to, 1, [&](auto, auto) {
    if (second.empty()) second = refusal(kCaptioner, to);
  });
  EXPECT_THAT(second, HasSubstr("another conversion writes to " + to + ".part"));
  EXPECT_TRUE(load_model_config(to).fp8);
}

TEST(Fp8Converter, AFullDiskIsNamedForEverySmallFile) {
  for (const char* name : {"tokenizer.json", "config.json"}) {
    const test::TemporaryFolder folder;
    const std::string to = folder.path("fp8");
    try {
      convert_to_fp8(kCaptioner, to, 1, [&](auto, auto) {
        std::error_code exists;
        fs::create_symlink("/dev/full", to + ".part/" + name, exists);
      });
      FAIL() << "wanted a SystemError";
    } catch (const SystemError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(name), HasSubstr("No space left on device")));
    }
  }
}

TEST(Fp8Converter, AFullDiskIsNamedForTheWeights) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder.path("from"));
  write_sharded(folder.path("from"));
  const std::string second = folder.path("to.part/model-00002-of-00002.safetensors");
  EXPECT_THAT(
      [&] {
        convert_to_fp8(folder.path("from"), folder.path("to"), 1, [&](auto, auto) {
          std::error_code exists;
          fs::create_symlink("/dev/full", second + ".part", exists);
        });
      },
      testing::ThrowsMessage<SystemError>(
          AllOf(HasSubstr(second), HasSubstr("No space left on device. Make room"))));
}

// The table of embeddings is a hole in its file, and larger than the disk is free.
TEST(Fp8Converter, ADiskThatIsTooSmallIsRefusedAtOnce) {
  const test::TemporaryFolder folder;
  constexpr const char* kTable = "model.language_model.embed_tokens.weight";
  const std::string from = folder.path("from");
  fs::create_directory(from);
  write_sharded(from);
  nlohmann::json config = json_of(kCaptioner + "/config.json");
  const auto hidden = config["text_config"]["hidden_size"].get<std::uint64_t>();
  const std::uint64_t vocab = fs::space(folder.path()).available / (2 * hidden) + 1;
  config["text_config"]["vocab_size"] = vocab;
  folder.write("from/config.json", config.dump());
  nlohmann::json index = json_of(from + "/model.safetensors.index.json");
  const std::string shard = from + "/" + index["weight_map"][kTable].get<std::string>();
  const SafetensorsFile small(shard);
  nlohmann::json header;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : small.tensors()) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < tensor.shape.rank(); ++i) shape.push_back(tensor.shape[i]);
    std::uint64_t size = tensor.bytes.size();
    if (name == kTable) shape[0] = static_cast<std::int64_t>(vocab), size = vocab * hidden * 2;
    header[name] = {
        {"dtype", to_string(tensor.type)}, {"shape", shape}, {"data_offsets", {at, at + size}}};
    at += size;
  }
  const std::string text = header.dump();
  std::string length(8, '\0');
  const std::uint64_t bytes = text.size();
  std::memcpy(length.data(), &bytes, sizeof bytes);
  fs::remove(shard);
  std::ofstream(shard, std::ios::binary) << length << text;
  fs::resize_file(shard, 8 + bytes + at);
  // What begins to convert ends here: it would fill the disk.
  const auto begins = [](auto, auto) { throw UsageError("it begins"); };
  EXPECT_THAT([&] { convert_to_fp8(from, folder.path("to"), 1, begins); },
              testing::ThrowsMessage<SystemError>(AllOf(HasSubstr("the FP8 checkpoint takes "),
                                                        HasSubstr(" GB are free there. Make"))));
  EXPECT_FALSE(fs::exists(folder.path("to.part")));
}

TEST(Fp8Converter, AFolderThatCanNeverBeMadeIsNamed) {
  const test::TemporaryFolder folder;
  const std::string longest = folder.path(std::string(250, 'a')), longer = longest + "a";
  for (const std::string& to : {std::string("/proc/fp8"), std::string("/dev/null/fp8"), longer})
    EXPECT_THAT(refusal(kCaptioner, to), AllOf(HasSubstr("[--output] " + to + ".part cannot be"),
                                               HasSubstr("Choose another")));
  EXPECT_EQ(refusal(kCaptioner, longest), "") << ".part is added";
}

TEST(Fp8Converter, AModelInTheFolderThatItWouldEmptyIsRefused) {
  const test::TemporaryFolder folder;
  folder.write("m.part/.retinue-quantize", "");
  fs::copy(kCaptioner, folder.path("m.part"));
  fs::copy(kCaptioner, folder.path("m.part/inside"));
  fs::create_directory_symlink("m.part", folder.path("link.part"));
  for (const char* from : {"m.part", "m.part/", "m.part/inside", "link.part"})
    for (const char* to : {"m", "link"})
      EXPECT_THAT(refusal(folder.path(from), folder.path(to)), HasSubstr("conversion empties"));
  EXPECT_TRUE(fs::exists(folder.path("m.part/model.safetensors")));
  EXPECT_TRUE(fs::exists(folder.path("m.part/inside/model.safetensors")));
}

// The path of the folder is as long as a path can be, and that of a file in it too long.
TEST(Fp8Converter, AFolderThatCannotBeLockedIsNotLeft) {
  const test::TemporaryFolder folder;
  constexpr std::size_t kLength = 4085;
  std::string to = folder.path();
  while (kLength - to.size() > 255) to += "/" + std::string(200, 'a');
  to += "/" + std::string(kLength - to.size() - 1, 'b');
  EXPECT_THAT(refusal(kCaptioner, to), HasSubstr(".retinue-quantize cannot be made"));
  EXPECT_TRUE(fs::exists(fs::path(to).parent_path()));
  EXPECT_FALSE(fs::exists(to + ".part"));
}

TEST(Fp8Converter, AnOutputThatAppearsMeanwhileIsNamedAndStays) {
  for (const bool is_folder : {true, false}) {
    const test::TemporaryFolder folder;
    const std::string to = folder.path("fp8");
    const auto appears = [&](auto, auto) { folder.write(is_folder ? "fp8/mine" : "fp8", "mine"); };
    EXPECT_THAT([&] { convert_to_fp8(kCaptioner, to, 1, appears); },
                testing::ThrowsMessage<UsageError>(HasSubstr(to + " is no empty folder any more")));
    EXPECT_TRUE(fs::exists(is_folder ? to + "/mine" : to));
    EXPECT_FALSE(fs::exists(to + ".part"));
  }
}

TEST(Fp8Converter, AnOutputInsideTheSourceIsNotCopied) {
  const test::TemporaryFolder folder;
  fs::copy(kCaptioner, folder.path("from"));
  EXPECT_THAT(
      convert_to_fp8(folder.path("from"), folder.path("from/fp8"), 1, [](auto, auto) {}).left_out,
      testing::ElementsAre("README.md"));
}

}  // namespace
}  // namespace retinue::layers
