#include "runtime/pages/page_policy.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

// printf 'x=1' | openssl dgst -sha256 -binary | base64, and so for a{}
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'sha256-HyBrEcI+KMwlDe1/wAmNOCOoRnpUNA8axOU1y4VEST8='; "
    "style-src 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='";

TEST(PagePolicy, NamesScriptAndStyleByTheirHashes) {
  EXPECT_EQ(policy_of_page("<style>a{}</style><script>x=1</script>"), kPolicy);
}

TEST(PagePolicy, DataIsNoScript) {
  EXPECT_EQ(policy_of_page("<style>a{}</style><script type=\"application/json\">{}</script>"
                           "<script>x=1</script>"),
            kPolicy);
}

TEST(PagePolicy, RefusesAPageWithTwoScriptsOrNone) {
  EXPECT_THROW(policy_of_page("<style></style><script></script><script></script>"), BugError);
  EXPECT_THROW(policy_of_page("<style></style>"), BugError);
}

}  // namespace
}  // namespace retinue::runtime
