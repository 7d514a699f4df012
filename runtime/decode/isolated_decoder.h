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

/// read_header and read_patches in processes of their own, under limits: a picture that crashes its
/// decoder, or has it run or grow without end, costs its item and nothing else. Every thread that
/// asks has its helper, which is started when it first asks and again after a death. The values and
/// errors are those of the functions in media_files.h, bit for bit.
///
/// This is no sandbox: the helper is the same user and may do what it may.
class IsolatedDecoder {
 public:
  ///   program  becomes a helper when its first word is kIsolatedWorkerVerb; this executable is, even
  ///            where its file has been replaced since it started
  IsolatedDecoder(const VisionProcessorSpec& spec, const ImageOptions& image,
                  const DecodeLimits& limits = {}, std::string program = "/proc/self/exe");
  /// Ends the helpers.
  ~IsolatedDecoder();

  /// Errors: as the function, and stage "image" or "video" with what its decoder died of.
  /// Throws: SystemError when no helper can be started.
  Result<MediaHeader> header(const MediaReference& media, const std::vector<FileBytes>& files);
  Result<layers::Patches> patches(const MediaReference& media, const std::vector<FileBytes>& files);

 private:
  class Helper;
  template <class T>
  Result<T> ask(const MediaReference& media, const std::vector<FileBytes>& files);
  std::unique_ptr<Helper> take_helper();

  VisionProcessorSpec spec_;
  ImageOptions image_;
  DecodeLimits limits_;
  std::string program_;
  std::mutex mutex_;
  /// By the thread that started it: the system kills a process "with its parent" when that thread
  /// ends, so no other may use it.
  std::map<std::thread::id, std::unique_ptr<Helper>> helpers_;
};

}  // namespace retinue::runtime
