#pragma once

#include "runtime/output/caption_files.h"
#include "runtime/output/journal.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// The folder of a job, held by rank 0 of its world. While it is held no other job gets it.
class JobFolder {
 public:
  /// Makes or opens `path`.
  /// Throws: UsageError when another job runs in it; SystemError when the disk refuses.
  explicit JobFolder(std::string path);

  /// What the folder is for.
  ///   question  what decides the records: a folder that was made for another one is refused
  ///   about     the rest of job.json, written when there is none yet
  ///   note      said with a refusal, for what `question` holds only a hash of
  /// Throws: UsageError when the question differs, naming in what; SystemError when the disk
  /// refuses.
  void validate(const nlohmann::ordered_json& signature, const nlohmann::ordered_json& about,
                const std::string& note = "") const;
  /// There is a job.json: what else lies in the folder belongs to its question.
  [[nodiscard]] bool has_job() const;

  [[nodiscard]] const std::string& path() const { return path_; }

  /// captions.jsonl, what `format` adds to it, and failures.jsonl from the journal. Each file is
  /// written whole or not at all.
  ///   order   item indices as the input has them
  ///   format  is no part of the question: the same folder may be sealed again in another one
  /// Without `finished` only failures.jsonl is written: captions stand for all of them.
  /// Throws: SystemError.
  void finalize(const Journal& journal, const std::vector<std::int64_t>& order, bool finished,
                OutputFormat format = OutputFormat::kJsonl) const;
  [[nodiscard]] bool has_report() const;
  void write_report(const nlohmann::ordered_json& report) const;

 private:
  /// Goes with the process too, however that ends.
  struct Lock {
    explicit Lock(const std::string& job);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    int fd = -1;
  };

  std::string path_;
  std::unique_ptr<Lock> lock_;
};

}  // namespace retinue::runtime
