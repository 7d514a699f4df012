#pragma once

#include "runtime/output/caption_files.h"
#include "runtime/output/journal.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// The folder of a job, locked by rank 0. While the lock is held no other run can open the folder.
class JobFolder {
 public:
  /// Makes or opens `path`.
  /// Throws: UsageError when another job runs in it; SystemError when the disk refuses.
  explicit JobFolder(std::string path);

  /// Binds the folder to a job: writes job.json, or checks that the existing one has the same
  /// signature.
  ///   signature  all that decides the records
  ///   about      the rest of job.json, for people
  ///   note       added to a refusal; explains a difference of which `signature` holds only a hash
  /// Returns the keys that the job.json of an earlier version lacked, and that it now has; empty
  /// when there are none. What they name cannot be compared with the earlier runs.
  /// Throws: UsageError when the signature differs, with the keys that differ, and when there are
  ///   answers without a job.json; SystemError when the disk refuses.
  std::string bind(const nlohmann::ordered_json& signature, const nlohmann::ordered_json& about,
                   const std::string& note = "") const;
  /// Whether there is a job.json. Without one, other files in the folder belong to no job.
  [[nodiscard]] bool has_job() const;

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Writes failures.jsonl and, for a finished job, captions.jsonl and the files of `format`, from
  /// the journal. Each file is written whole or not at all.
  ///   order     item indices in the order of the input
  ///   finished  every item has ended. Otherwise there are no captions files: they hold all records
  ///   format    is no part of the job signature: a folder can be finalized again in another format
  /// Throws: SystemError.
  void finalize(const Journal& journal, const std::vector<std::int64_t>& order, bool finished,
                OutputFormat format = OutputFormat::kJsonl) const;
  [[nodiscard]] bool has_report() const;
  void write_report(const nlohmann::ordered_json& report) const;

 private:
  /// A file lock: the kernel releases it when the process ends, in whatever way.
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

/// Throws: as JobFolder and its bind() where the folder `path` cannot be made or written to, or holds
///   another job. Leaves nothing behind.
void refuse_other_job(const std::string& path, const nlohmann::ordered_json& signature);

}  // namespace retinue::runtime
