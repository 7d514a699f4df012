#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/decode/isolated_worker.h"
#include "runtime/media/media_decoder.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace retinue::runtime {

/// read_header and read_patches of media_decoder.h in processes of their own, under limits: an
/// image whose decoder crashes, hangs or grows fails its item and nothing else. Each calling thread
/// has one isolated worker, started at its first call and again after a crash. Values and errors
/// equal those of the functions, bit for bit.
///
/// This is no sandbox: a worker runs as the same user, with all of that user's rights.
class IsolatedDecoder {
 public:
  ///   program  an executable that becomes a worker under kIsolatedWorkerVerb. The default is the
  ///            running executable itself, even where its file was replaced since it started
  IsolatedDecoder(const VisionProcessorSpec& spec, const ImageOptions& image,
                  const DecodeLimits& limits = {}, std::string program = "/proc/self/exe");
  /// Ends the workers.
  ~IsolatedDecoder();

  /// Errors: as the function; and, of stage "image" or "video", how the worker ended.
  /// Throws: SystemError when no worker can be started.
  Result<MediaHeader> header(const MediaReference& media, const std::vector<FileBytes>& files);
  Result<layers::Patches> patches(const MediaReference& media, const std::vector<FileBytes>& files);

 private:
  class Worker;
  template <class T>
  Result<T> exchange(const MediaReference& media, const std::vector<FileBytes>& files);
  [[nodiscard]] std::string packed_request(const MediaReference& media,
                                           const std::vector<FileBytes>& files) const;
  std::unique_ptr<Worker> take_worker();

  VisionProcessorSpec spec_;
  ImageOptions image_;
  DecodeLimits limits_;
  std::string program_;
  std::mutex mutex_;
  /// Workers by the thread that started them. The kernel kills a worker when that thread ends, so no
  /// other thread may use it.
  std::map<std::thread::id, std::unique_ptr<Worker>> workers_;
};

}  // namespace retinue::runtime
