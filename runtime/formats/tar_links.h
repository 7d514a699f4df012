#pragma once

#include "runtime/formats/tar.h"

#include <cstddef>
#include <vector>

namespace retinue::runtime {

/// Gives links the bytes of their files. A link to a file of the archive becomes a file under its own
/// name; a link to anything else, or in a circle, stays a link. A symbolic link begins at its folder, a
/// hard link at the top of the archive; both may pass over other links, as a system follows them.
/// "./a", "/a" and "a" are one name. Where members have one name, a hard link means the last one before
/// it and a symbolic link the last of all, as Python's tarfile has it.
///   members  all of an archive, in its order. A link that says what a member of its name says,
///            which tar writes for a file that is named twice, is removed
///   returns  the number of links that it removed
std::size_t follow_links(std::vector<TarMember>& members);

}  // namespace retinue::runtime
