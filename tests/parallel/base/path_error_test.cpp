#include "parallel/base/path_error.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace retinue {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(PathError, APathThatCanNeverBeMadeIsTheUsersFault) {
  for (const int error : {EACCES, EEXIST, EISDIR, ELOOP, ENOENT, ENAMETOOLONG, ENOTDIR, EROFS})
    EXPECT_THAT([&] { fail_to_make("a/b", "[test]", error); },
                ThrowsMessage<UsageError>(HasSubstr("[test] a/b cannot be made: ")));
  for (const int error : {ENOSPC, EDQUOT, EIO, EMFILE, ENOMEM})
    EXPECT_THAT([&] { fail_to_make("a/b", "[test]", error); },
                ThrowsMessage<SystemError>(HasSubstr("Make room")));
}

}  // namespace
}  // namespace retinue
