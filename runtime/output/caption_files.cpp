#include "runtime/output/caption_files.h"

#include "parallel/base/check.h"
#include "parallel/base/path_error.h"
#include "runtime/formats/parquet/writer.h"
#include "runtime/formats/tar_writer.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <limits>
#include <optional>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kRecordsPerTar = 10000;

Json parse(const std::string& record) {
  Json json = Json::parse(record, nullptr, false);
  check(json.is_object() && json.contains("id") && json.contains("caption"), "a record is JSON");
  return json;
}

class JsonLines : public CaptionFiles {
 public:
  explicit JsonLines(const std::string& folder) : file_(folder + "/captions.jsonl") {}
  void add(const std::string& json) override {
    file_.write(json);
    file_.write("\n");
  }
  void commit() override { file_.commit(); }

 private:
  AtomicFile file_;
};

std::string tar_path(const std::string& folder, std::int64_t number) {
  return fmt::format("{}/captions-{:05}.tar", folder, number);
}

class WebDataset : public CaptionFiles {
 public:
  explicit WebDataset(std::string folder) : folder_(std::move(folder)) {}

  void add(const std::string& json) override {
    if (!tar_) tar_.emplace(tar_path(folder_, tars_));
    const Json record = parse(json);
    const std::string key = webdataset_key(record["id"].get_ref<const std::string&>());
    tar_->add(key + ".json", json);
    tar_->add(key + ".txt", record["caption"].get_ref<const std::string&>());
    if (++records_ % kRecordsPerTar == 0) close();
  }
  void commit() override {
    // Without records there is one empty archive, so that the job's output is complete.
    if (records_ == 0) tar_.emplace(tar_path(folder_, tars_));
    if (tar_) close();
    // Left by an earlier finalize() with more records.
    std::error_code none;
    for (std::int64_t number = tars_; fs::remove(tar_path(folder_, number), none);) ++number;
  }

 private:
  void close() {
    tar_->commit();
    tar_.reset();
    ++tars_;
  }

  std::string folder_;
  std::optional<TarWriter> tar_;
  std::int64_t records_ = 0, tars_ = 0;
};

class Parquet : public CaptionFiles {
 public:
  explicit Parquet(const std::string& folder)
      : writer_(folder + "/captions.parquet", {{"id", ParquetKind::kText},
                                               {"caption", ParquetKind::kText},
                                               {"finish_reason", ParquetKind::kText},
                                               {"prompt_tokens", ParquetKind::kInt64},
                                               {"completion_tokens", ParquetKind::kInt64},
                                               {"input", ParquetKind::kText},
                                               {"sha256", ParquetKind::kText},
                                               {"numerics", ParquetKind::kText},
                                               {"token_ids", ParquetKind::kInt32List},
                                               {"logprobs", ParquetKind::kFloatList},
                                               {"top_logprobs", ParquetKind::kText}}) {}

  void add(const std::string& json) override {
    const Json record = parse(json);
    const auto at = [&](const char* key) { return record.value(key, Json()); };
    const auto as_json = [&](const char* key) {
      return record.contains(key) ? record[key].dump() : std::string();
    };
    const std::string input = as_json("input"), top_logprobs = as_json("top_logprobs");
    const auto or_absent = [](const std::string& value) {
      return value.empty() ? ParquetValue() : ParquetValue(std::string_view(value));
    };
    const auto text = [&](const char* key) -> ParquetValue {
      if (!record.contains(key) || !record[key].is_string()) return {};
      return std::string_view(record[key].get_ref<const std::string&>());
    };
    const auto number = [&](const char* key) -> ParquetValue {
      return at(key).is_number_integer() ? ParquetValue(at(key).get<std::int64_t>())
                                         : ParquetValue();
    };
    const Json ids = at("token_ids"), probabilities = at("logprobs");
    const auto token_ids =
        ids.is_array() ? ids.get<std::vector<std::int32_t>>() : std::vector<std::int32_t>();
    std::vector<float> logprobs;
    for (const Json& each : probabilities)
      // JSON has no infinity: a null is the log of a probability of zero.
      logprobs.push_back(each.is_number() ? each.get<float>()
                                          : -std::numeric_limits<float>::infinity());
    const ParquetValue row[] = {
        text("id"),
        text("caption"),
        text("finish_reason"),
        number("prompt_tokens"),
        number("completion_tokens"),
        or_absent(input),
        text("sha256"),
        text("numerics"),
        ids.is_array() ? ParquetValue(std::span<const std::int32_t>(token_ids)) : ParquetValue(),
        probabilities.is_array() ? ParquetValue(std::span<const float>(logprobs)) : ParquetValue(),
        or_absent(top_logprobs)};
    writer_.add(row);
  }
  void commit() override { writer_.commit(); }

 private:
  ParquetWriter writer_;
};

}  // namespace

std::string webdataset_key(std::string_view id) {
  std::string key;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const auto c = static_cast<unsigned char>(id[i]);
    const bool control = c < ' ' || c == 0x7F;
    const bool empty_part = c == '/' && (i == 0 || i + 1 == id.size() || id[i - 1] == '/');
    // webdataset skips folders named __like_this__.
    const bool hidden = i == 0 && id.starts_with("__");
    if (control || empty_part || hidden || c == '.' || c == '%' || c == '\\')
      key += fmt::format("%{:02X}", c);
    else
      key.push_back(id[i]);
  }
  // Only the empty id gives this.
  return key.empty() ? "%" : key;
}

std::vector<std::unique_ptr<CaptionFiles>> caption_files(const std::string& folder,
                                                         OutputFormat format) {
  std::vector<std::unique_ptr<CaptionFiles>> files;
  if (format == OutputFormat::kWebDataset || exists_at(tar_path(folder, 0), "[--output]"))
    files.push_back(std::make_unique<WebDataset>(folder));
  if (format == OutputFormat::kParquet || exists_at(folder + "/captions.parquet", "[--output]"))
    files.push_back(std::make_unique<Parquet>(folder));
  files.push_back(std::make_unique<JsonLines>(folder));
  return files;
}

}  // namespace retinue::runtime
