#include "layers/weights/fp8_converter.h"

#include "layers/spec/config.h"
#include "layers/spec/json_text.h"
#include "layers/weights/finite.h"
#include "layers/weights/safetensors_stream.h"
#include "layers/weights/weight_source.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/path_error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <set>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace retinue::layers {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Projection {
  const char* part;
  std::int64_t outputs, inputs;
};
/// The projections of a layer, those together that are multiplied together.
std::vector<std::vector<Projection>> projections_of(const TextConfig& text) {
  const std::int64_t q = text.num_attention_heads * text.head_dim,
                     kv = text.num_key_value_heads * text.head_dim, hidden = text.hidden_size,
                     intermediate = text.intermediate_size;
  return {{{"self_attn.q_proj", q, hidden},
           {"self_attn.k_proj", kv, hidden},
           {"self_attn.v_proj", kv, hidden}},
          {{"self_attn.o_proj", hidden, q}},
          {{"mlp.gate_proj", intermediate, hidden}, {"mlp.up_proj", intermediate, hidden}},
          {{"mlp.down_proj", hidden, intermediate}}};
}

/// The modules to convert with their shapes, and those projections that are not.
struct Choice {
  std::map<std::string, Shape> converted;
  std::vector<std::string> kept;
};
Choice choose(const TextConfig& text) {
  const auto is_whole = [](std::int64_t size) { return size % kFp8Block == 0; };
  Choice choice;
  for (std::int64_t layer = 0; layer < text.num_hidden_layers; ++layer)
    for (const std::vector<Projection>& together : projections_of(text)) {
      // One alone may end in the middle of a block of outputs.
      const bool whole = std::ranges::all_of(together, [&](const Projection& p) {
        return is_whole(p.inputs) && (together.size() == 1 || is_whole(p.outputs));
      });
      for (const auto& [part, outputs, inputs] : together)
        if (whole)
          choice.converted.emplace(decoder_module(layer, part), Shape{outputs, inputs});
        else
          choice.kept.push_back(decoder_module(layer, part));
    }
  return choice;
}

/// One matrix in e4m3.
struct Fp8Matrix {
  std::vector<Float8E4M3> values;
  std::vector<float> scales;
};

/// Quantises `rows` rows of f32 that begin a row of blocks.
void quantize_rows(const float* from, std::int64_t rows, std::int64_t columns, Float8E4M3* to,
                   float* scales) {
  for (std::int64_t first = 0; first < columns; first += kFp8Block) {
    const std::int64_t last = std::min(columns, first + kFp8Block);
    float most = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = first; c < last; ++c)
        most = std::max(most, std::abs(from[r * columns + c]));
    // Below the least float a quotient is zero, and so are the values.
    const float scale = most / kMaxFloat8E4M3 > 0 ? most / kMaxFloat8E4M3 : 1.0F;
    scales[first / kFp8Block] = scale;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = first; c < last; ++c)
        to[r * columns + c] = to_float8_e4m3(from[r * columns + c] / scale);
  }
}

/// Reads a tensor and quantises it, rows of blocks on several threads.
Fp8Matrix quantize(CheckpointSource& source, const std::string& name, const Shape& shape,
                   int threads) {
  const std::int64_t rows = shape[0], columns = shape[1];
  const std::int64_t blocks = (rows + kFp8Block - 1) / kFp8Block;
  const std::int64_t column_blocks = (columns + kFp8Block - 1) / kFp8Block;
  Fp8Matrix matrix{std::vector<Float8E4M3>(static_cast<std::size_t>(rows * columns)),
                   std::vector<float>(static_cast<std::size_t>(blocks * column_blocks))};
  std::atomic<std::int64_t> next = 0;
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(threads));
  const auto work = [&](std::exception_ptr& error) {
    try {
      std::vector<float> block(static_cast<std::size_t>(kFp8Block * columns));
      for (std::int64_t b = next++; b < blocks; b = next++) {
        const std::int64_t first = b * kFp8Block, count = std::min(kFp8Block, rows - first);
        source.read(name, shape, {first, count, 0, columns},
                    TensorView(reinterpret_cast<std::byte*>(block.data()), DType::kF32,
                               Shape{count, columns}));
        quantize_rows(block.data(), count, columns, matrix.values.data() + first * columns,
                      matrix.scales.data() + b * column_blocks);
      }
    } catch (...) {
      error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (std::exception_ptr& error : errors) workers.emplace_back([&] { work(error); });
  }
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return matrix;
}

constexpr const char* kWeightSuffix = ".weight";

std::string without_suffix(const std::string& name) {
  return name.ends_with(kWeightSuffix)
             ? name.substr(0, name.size() - std::string_view(kWeightSuffix).size())
             : "";
}

/// Throws: SystemError with the reason of the disk, which a stream of C++ does not have.
void write_file(const fs::path& path, const std::string& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) fail_to_make(path.string(), "[quantize]", errno);
  const bool ok = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() &&
                  std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
  const int error = errno;
  std::fclose(file);
  if (!ok)
    throw SystemError(
        fmt::format("[quantize] {} cannot be written: {}. Make room or mend the disk, then run the "
                    "same command again.",
                    path.string(), std::strerror(error)));
}

class Converter {
 public:
  Converter(const std::string& from, const fs::path& to, int threads,
            const std::function<void(std::int64_t, std::int64_t)>& progress)
      : from_(from),
        to_(to),
        threads_(threads),
        progress_(progress),
        checkpoint_(from),
        source_(from),
        choice_(choose(load_model_config(from).text)) {
    for (const std::string& name : checkpoint_.names()) {
      by_file_[checkpoint_.file_of(name).path()].push_back(name);
      all_bytes_ += static_cast<std::int64_t>(checkpoint_.find(name)->bytes.size());
    }
    for (const auto& [module, shape] : choice_.converted)
      source_.require(module + kWeightSuffix, shape, DType::kF32);
  }

  Fp8Conversion run() {
    done_.kept = choice_.kept;
    std::map<std::string, Entries> shards;
    for (const auto& [path, names] : by_file_)
      shards[fs::path(path).filename().string()] = entries_of(names);
    for (const auto& [file, entries] : shards)
      for (const SafetensorsStream::Entry& entry : entries) {
        weight_map_[entry.name] = file;
        done_.written_bytes +=
            entry.shape.numel() * static_cast<std::int64_t>(size_bytes(entry.type));
      }
    check_room();
    for (const auto& [file, entries] : shards) write_shard(file, entries);
    if (weight_map_.begin()->second != "model.safetensors" || by_file_.size() > 1) write_index();
    copy_small_files();
    write_config();
    return std::move(done_);
  }

 private:
  using Entries = std::vector<SafetensorsStream::Entry>;

  bool converts(const std::string& name) const {
    return choice_.converted.contains(without_suffix(name));
  }

  /// The tensors of a shard, in the order in which they are written.
  Entries entries_of(const std::vector<std::string>& names) const {
    // Elements of four bytes stay aligned: e4m3 come in multiples of 128, then the wider ones.
    std::vector<std::string> kept;
    Entries entries;
    for (const std::string& name : names) {
      if (!converts(name)) {
        kept.push_back(name);
        continue;
      }
      const Shape& shape = checkpoint_.find(name)->shape;
      entries.push_back({name, StoredType::kF8E4M3, shape});
      entries.push_back(
          {without_suffix(name) + std::string(kScaleSuffix), StoredType::kF32,
           Shape{(shape[0] + kFp8Block - 1) / kFp8Block, (shape[1] + kFp8Block - 1) / kFp8Block}});
    }
    std::ranges::stable_sort(kept, std::greater{}, [&](const std::string& name) {
      return size_bytes(checkpoint_.find(name)->type);
    });
    for (const std::string& name : kept)
      entries.push_back({name, checkpoint_.find(name)->type, checkpoint_.find(name)->shape});
    return entries;
  }

  /// Throws: SystemError where the tensors do not fit on the disk, before hours of work.
  void check_room() const {
    std::error_code error;
    const std::uintmax_t room = fs::space(to_, error).available;
    if (!error && room < static_cast<std::uintmax_t>(done_.written_bytes))
      throw SystemError(fmt::format(
          "[quantize] {}: the FP8 checkpoint takes {:.2f} GB, and {:.2f} GB are free there. Make "
          "room, then run the same command again.",
          to_.string(), static_cast<double>(done_.written_bytes) / 1e9,
          static_cast<double>(room) / 1e9));
  }

  void write_shard(const std::string& file, const Entries& entries) {
    SafetensorsStream stream((to_ / file).string(), entries, {{"format", "pt"}});
    for (const SafetensorsStream::Entry& entry : entries)
      if (converts(entry.name))
        convert(entry.name, stream);  // and its scales, which the source does not have
      else if (checkpoint_.find(entry.name) != nullptr)
        copy(entry.name, stream);
    stream.finish();
  }

  void convert(const std::string& name, SafetensorsStream& stream) {
    const Fp8Matrix matrix = quantize(source_, name, checkpoint_.find(name)->shape, threads_);
    stream.write(std::as_bytes(std::span(matrix.values)));
    stream.write(std::as_bytes(std::span(matrix.scales)));
    ++done_.modules;
    has_read(static_cast<std::int64_t>(checkpoint_.find(name)->bytes.size()));
  }

  void copy(const std::string& name, SafetensorsStream& stream) {
    const auto size = static_cast<std::int64_t>(checkpoint_.find(name)->bytes.size());
    std::vector<std::byte> buffer(std::size_t{4} << 20);
    for (std::int64_t at = 0; at < size;) {
      const std::int64_t count = std::min(size - at, static_cast<std::int64_t>(buffer.size()));
      const std::span<std::byte> part(buffer.data(), static_cast<std::size_t>(count));
      checkpoint_.file_of(name).read(name, at, part);
      check_finite(checkpoint_.file_of(name).path(), name, checkpoint_.find(name)->type, at, part);
      stream.write(part);
      at += count;
      has_read(count);
    }
  }

  void has_read(std::int64_t bytes) {
    done_.read_bytes += bytes;
    progress_(done_.read_bytes, all_bytes_);
  }

  void write_json(const char* name, const Json& json) const {
    write_file(to_ / name, json.dump(2) + "\n");
  }

  void write_index() const {
    Json index;
    index["metadata"] = {{"total_size", done_.written_bytes}};
    for (const auto& [name, file] : weight_map_) index["weight_map"][name] = file;
    write_json("model.safetensors.index.json", index);
  }

  void write_config() const {
    const std::string path = from_ + "/config.json";
    Json config = parse_json_or_refuse<Json>(*read_file(path, "[quantize]"), "[quantize] " + path);
    if (config["text_config"].contains("quantization_config"))
      config["text_config"].erase("quantization_config");
    // FP8 is multiplied with bfloat16 activations, whatever type the other tensors have.
    for (Json* section : {&config, &config["text_config"], &config["vision_config"]})
      for (const char* key : {"dtype", "torch_dtype"})
        if (section->contains(key)) (*section)[key] = "bfloat16";
    std::vector<std::string> skipped = {"lm_head"};
    // In both spellings: transformers looks for parts of paths, vLLM compares whole names.
    std::set<std::string> visual;
    for (const std::string& name : checkpoint_.names())
      if (const std::string module = without_suffix(name);
          module.starts_with("model.visual.") && checkpoint_.find(name)->shape.rank() > 1)
        visual.insert(module);
    for (const std::string& module : visual) {
      skipped.push_back(module);
      skipped.push_back(module.substr(std::string_view("model.").size()));
    }
    skipped.insert(skipped.end(), choice_.kept.begin(), choice_.kept.end());
    config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                     {"fmt", "e4m3"},
                                     {"modules_to_not_convert", skipped},
                                     {"quant_method", "fp8"},
                                     {"weight_block_size", {kFp8Block, kFp8Block}}};
    write_json("config.json", config);
  }

  void copy_small_files() {
    std::error_code listing;
    for (fs::directory_iterator at(from_, listing), end; !listing && at != end;
         at.increment(listing)) {
      const fs::directory_entry& entry = *at;
      const std::string name = entry.path().filename().string();
      if (name == "config.json" || name == "model.safetensors.index.json" ||
          by_file_.contains(entry.path().string()))
        continue;
      constexpr std::uintmax_t kSmall = std::uintmax_t{256} << 20;
      std::error_code error;
      if (fs::equivalent(entry.path(), to_, error)) continue;
      const bool weights = name.ends_with(".safetensors") || name.ends_with(".bin") ||
                           name.ends_with(".pth") || name.ends_with(".gguf");
      // A model card says which types its weights have, and would be wrong.
      if (name == "README.md" || weights || !entry.is_regular_file(error) ||
          entry.file_size(error) > kSmall) {
        done_.left_out.push_back(name);
        continue;
      }
      write_file(to_ / name, *read_file(entry.path().string(), "[quantize]"));
    }
    std::ranges::sort(done_.left_out);
  }

  std::string from_;
  fs::path to_;
  int threads_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
  Checkpoint checkpoint_;
  CheckpointSource source_;
  Choice choice_;
  std::map<std::string, std::vector<std::string>> by_file_;
  std::map<std::string, std::string> weight_map_;
  std::int64_t all_bytes_ = 0;
  Fp8Conversion done_;
};

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

/// The folder that will be renamed to the output, behind all links.
/// Throws: UsageError where it is not empty, or cannot be put there.
fs::path output_folder(const std::string& to) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(fs::absolute(without_slash(to)), error);
  const auto refuse = [&](const std::string& why) {
    throw UsageError(fmt::format("[quantize] {} {}. Choose another --output.", to, why));
  };
  if (error) refuse(fmt::format("cannot be reached: {}", error.message()));
  if (fs::is_symlink(target, error)) refuse("is a link to nothing");
  if (!fs::exists(target, error)) return target;
  if (!fs::is_directory(target, error) || !fs::is_empty(target, error))
    refuse("exists and is no empty folder");
  if (target == fs::current_path(error)) refuse("is the current folder, which cannot be replaced");
  struct stat inside = {};
  struct stat above = {};
  if (::stat(target.c_str(), &inside) == 0 && ::stat(target.parent_path().c_str(), &above) == 0 &&
      inside.st_dev != above.st_dev)
    refuse("is the root of a file system, which cannot be replaced: name a new folder in it");
  return target;
}

/// The folder beside the output in which a conversion works, behind all links.
/// Throws: UsageError where the model is inside it: the conversion would empty its own source.
fs::path part_folder(const std::string& from, const fs::path& target) {
  std::error_code error;
  const fs::path part = fs::weakly_canonical(target.string() + ".part", error);
  if (error) fail_to_make(target.string() + ".part", "[--output]", error.value());
  const fs::path source = fs::canonical(from, error);
  if (std::ranges::mismatch(part, source).in1 == part.end())
    throw UsageError(fmt::format(
        "[quantize] --model {} is in {}, which the conversion empties. Choose another --output.",
        from, part.string()));
  return part;
}

/// The folder in which a conversion works. Its lock, whose name no other folder has, shows that a
/// conversion made it, and ends with the process, even when that is killed.
class PartFolder {
 public:
  /// Throws: UsageError where another conversion is at work, or where other things are.
  explicit PartFolder(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    if (fs::exists(path_, error) && !fs::exists(lock(), error) &&
        !(fs::is_directory(path_, error) && fs::is_empty(path_, error)))
      throw UsageError(fmt::format(
          "[quantize] {} exists, and no conversion made it. Remove it, or choose another --output.",
          path_.string()));
    const bool made = fs::create_directories(path_, error);
    if (error) fail_to_make(path_.string(), "[--output]", error.value());
    lock_ = ::open(lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_ < 0) {
      const int reason = errno;
      if (made) fs::remove(path_, error);
      fail_to_make(lock().string(), "[--output]", reason);
    }
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      ::close(lock_);
      if (reason == EWOULDBLOCK)
        throw UsageError(fmt::format(
            "[quantize] another conversion writes to {}. Wait for it, or choose another --output.",
            path_.string()));
      fail("locked", {reason, std::generic_category()});
    }
    remove_all_but(lock());
  }
  ~PartFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
    ::close(lock_);
  }
  PartFolder(const PartFolder&) = delete;
  PartFolder& operator=(const PartFolder&) = delete;

  /// Takes the place of `target`, which is absent or empty.
  void become(const fs::path& target) {
    std::error_code error;
    fs::rename(path_, target, error);  // onto an empty folder, too
    if (error == std::errc::directory_not_empty || error == std::errc::file_exists ||
        error == std::errc::not_a_directory)
      throw UsageError(
          fmt::format("[quantize] {} is no empty folder any more: something else came there during "
                      "the conversion, which is lost. Choose another --output.",
                      target.string()));
    if (error) fail(fmt::format("renamed to {}", target.string()), error);
    path_ = target;
    fs::remove(lock(), error);  // last, so that the folder always shows who made it
    path_.clear();
  }

 private:
  [[nodiscard]] fs::path lock() const { return path_ / ".retinue-quantize"; }
  [[noreturn]] void fail(const std::string& what, const std::error_code& error) const {
    throw SystemError(fmt::format(
        "[quantize] {} cannot be {}: {}. Mend the disk, then run the same command again.",
        path_.string(), what, error.message()));
  }
  /// Removes what a killed conversion left.
  void remove_all_but(const fs::path& kept) const {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
      if (entry.path() != kept) fs::remove_all(entry.path(), error);
      if (error) fail("emptied", error);
    }
  }

  fs::path path_;
  int lock_ = -1;
};

}  // namespace

Fp8Conversion convert_to_fp8(const std::string& from, const std::string& to, int threads,
                             const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const ModelConfig config = load_model_config(from);
  if (config.fp8)
    throw UsageError(
        fmt::format("[quantize] {} is an FP8 checkpoint already. Use it as it is.", from));
  if (choose(config.text).converted.empty())
    throw UsageError(fmt::format(
        "[quantize] {}: no projection of the decoder has whole blocks of 128: hidden_size is {}, "
        "intermediate_size {}, num_attention_heads * head_dim {}. Use it as it is.",
        from, config.text.hidden_size, config.text.intermediate_size,
        config.text.num_attention_heads * config.text.head_dim));
  const fs::path target = output_folder(to);
  const fs::path part = part_folder(from, target);
  PartFolder folder(part);
  Fp8Conversion done = Converter(without_slash(from), part, threads, progress).run();
  folder.become(target);
  return done;
}

}  // namespace retinue::layers
