#pragma once

#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

/// Lists a tar archive as webdataset reads it: members that follow each other and share a key are
/// one sample, in the archive's order. The key is the name up to the first dot behind the last
/// slash, what follows is the kind of part, upper case or lower:
///   pictures, videos   by the last piece of the extension, else by content; shown in member order
///   prompt             (or prompt.txt) what is asked
///   json               "prompt", "messages" and "id" as in a manifest; other keys are passed over.
///                      Media in messages are named by member, by its file name or by its
///                      extension.
/// Other parts are passed over: a txt is by custom a caption that is there already. So are names
/// without a dot or starting with one, and metadata (__x__). A sample without any of the parts
/// above is no item. Its id is that of the json, else the key; where another archive has that one
/// already, "archive.tar:key". A damaged archive gives the samples before the damage, then a failed
/// item that names it. Returns false when `sink` wants no more. Throws: UsageError when `path`
/// cannot be read.
bool read_webdataset(const std::string& path, ItemSink& sink);

}  // namespace retinue::runtime
