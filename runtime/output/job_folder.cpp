#include "runtime/output/job_folder.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/path_error.h"
#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Keys that a signature has only where their values are others than these.
constexpr auto kUsualValues = std::to_array<std::pair<const char*, const char*>>(
    {{"kv_cache_dtype", "auto"}, {"leaves", "8"}, {"ablation", "none"}});

Json with_usual_values(Json signature) {
  for (const auto& [key, value] : kUsualValues)
    if (!signature.contains(key)) signature[key] = value;
  return signature;
}

/// "sampling.seed was 0, now 7; …" for every leaf that differs; empty when none does.
std::string differences(const Json& was, const Json& now) {
  const Json before = with_usual_values(was).flatten(), after = with_usual_values(now).flatten();
  std::string text;
  const auto add = [&](std::string key, const Json& a, const Json& b) {
    key.erase(0, 1);
    for (char& c : key)
      if (c == '/') c = '.';
    const auto shown = [](const Json& value) -> std::string {
      if (value.is_null()) return "absent";
      const std::string whole = value.dump(-1, ' ', false, Json::error_handler_t::replace);
      return whole.size() > 60 ? whole.substr(0, 57) + "…" : whole;
    };
    text += fmt::format("{}{} was {}, now {}", text.empty() ? "" : "; ", key, shown(a), shown(b));
  };
  for (const auto& [key, value] : after.items())
    if (!before.contains(key))
      add(key, Json(), value);
    else if (before[key] != value)
      add(key, before[key], value);
  for (const auto& [key, value] : before.items())
    if (!after.contains(key)) add(key, value, Json());
  return text;
}

std::string pretty(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// Keys of the signature that earlier versions did not write.
constexpr std::array<const char*, 2> kLaterKeys = {"weights_sample", "processor_config"};

bool exists(const std::string& path) { return exists_at(path, "[--output]"); }

void write_job(const std::string& path, const Json& whole) {
  AtomicFile file(path);
  file.write(pretty(whole));
  file.commit();
}

struct SameJob {
  Json json;  ///< null: the folder has none
  /// Keys of the signature that an earlier version did not write, and that `json` now has.
  std::string completed;
};
/// The job.json of the folder `path`.   Throws: as JobFolder::bind().
SameJob same_job(const std::string& path, const Json& signature, const std::string& note) {
  const std::string job = path + "/job.json";
  if (!exists(job)) {
    // Answers of an unknown model must not become those of this one.
    if (Journal(path, 0).done_lines() > 0)
      throw UsageError(fmt::format(
          "[--output] {} has a journal and no job.json: it is unknown which model and options gave "
          "its answers. Put job.json back, or choose another folder.",
          path));
    return {};
  }
  Json before =
      layers::parse_json<Json>(read_file(job, "[output]").value_or(""), "[--output] " + job);
  if (!before.is_object() || !before.contains("question") || !before["question"].is_object())
    throw UsageError(
        fmt::format("[--output] {} is no job of this program. Choose another folder.", job));
  std::string completed;
  for (const char* key : kLaterKeys)
    if (signature.contains(key) && !before["question"].contains(key)) {
      before["question"][key] = signature[key];
      completed += (completed.empty() ? "" : ", ") + std::string(key);
    }
  const std::string what = differences(before["question"], signature);
  if (!what.empty())
    throw UsageError(
        fmt::format("[--output] {} holds another job: {}.{}{} Choose another folder, or "
                    "use the inputs and options of that job.",
                    path, what, note.empty() ? "" : " ", note));
  return {before, completed};
}

/// Makes a folder of an own name where the folder `at` of the job `path` is or would be made, and
/// removes it: permissions alone do not say whether the file system lets anybody write.
/// Throws: as fail_to_make() where JobFolder could not make or use it.
void try_to_write(const std::string& path, fs::path at) {
  while (!exists(at.string())) {
    if (fs::is_symlink(at)) fail_to_make(path, "[--output]", EEXIST);
    at = at.has_parent_path() ? at.parent_path() : ".";
  }
  if (!fs::is_directory(at)) fail_to_make(path, "[--output]", ENOTDIR);
  std::string probe = (at / ".retinue-check-XXXXXX").string();
  if (::mkdtemp(probe.data()) == nullptr) fail_to_make(path, "[--output]", errno);
  ::rmdir(probe.c_str());
}

/// Throws: UsageError, SystemError where a job could not write to the folder `path`.
void refuse_unwritable(const std::string& path) {
  for (const char* folder : {"", "/journal"}) try_to_write(path, path + folder);
  for (const char* file : {"/captions.jsonl", "/failures.jsonl", "/report.json"})
    (void)file_to_write(path + file, "[--output]");
  const std::string lock = path + "/lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT) fail_to_make(lock, "[--output]", errno);
  if (fd >= 0) ::close(fd);
}

}  // namespace

JobFolder::JobFolder(std::string path) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_ + "/journal", error);
  if (error) fail_to_make(path_, "[--output]", error.value());
  lock_ = std::make_unique<Lock>(path_);
}

bool JobFolder::has_job() const { return exists(path_ + "/job.json"); }

std::string JobFolder::bind(const Json& signature, const Json& about,
                            const std::string& note) const {
  SameJob same = same_job(path_, signature, note);
  if (same.json.is_null()) {
    same.json = about;
    same.json["question"] = signature;
  } else if (same.completed.empty()) {
    return "";
  }
  write_job(path_ + "/job.json", same.json);
  return same.completed;
}

void refuse_other_job(const std::string& path, const Json& signature) {
  refuse_unwritable(path);
  (void)same_job(path, signature, "");
}

JobFolder::Lock::~Lock() {
  if (fd >= 0) ::close(fd);
}

JobFolder::Lock::Lock(const std::string& job) {
  const std::string path = job + "/lock";
  fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (error == EWOULDBLOCK)
    throw UsageError(fmt::format(
        "[--output] {} is in use by a running job. Wait for it, or choose another folder.", job));
  if (fd < 0) fail_to_make(path, "[--output]", error);
  throw SystemError(fmt::format("[output] {} cannot be locked: {}", path, std::strerror(error)));
}

void JobFolder::finalize(const Journal& journal, const std::vector<std::int64_t>& order,
                         bool finished, OutputFormat format) const {
  AtomicFile failures(path_ + "/failures.jsonl");
  for (const std::int64_t index : order)
    if (journal.failed(index)) failures.write(journal.text(index) + "\n");
  failures.commit();
  if (!finished) return;
  const auto files = caption_files(path_, format);
  for (const std::int64_t index : order) {
    if (!journal.done(index)) continue;
    const std::string record = journal.text(index);
    for (const auto& file : files) file->add(record);
  }
  for (const auto& file : files) file->commit();
}

bool JobFolder::has_report() const { return exists(path_ + "/report.json"); }

void JobFolder::write_report(const Json& report) const {
  AtomicFile file(path_ + "/report.json");
  file.write(pretty(report));
  file.commit();
}

}  // namespace retinue::runtime
