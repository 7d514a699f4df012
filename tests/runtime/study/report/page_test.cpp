#include "runtime/study/report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <regex>
#include <string>

namespace retinue::study {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

/// The text of the page's data element, as a browser delimits it.
std::string data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  return page.substr(begin, page.find("</script", begin) - begin);
}

std::ptrdiff_t count(const std::string& page, const std::string& what) {
  const std::regex pattern(what);
  return std::distance(std::sregex_iterator(page.begin(), page.end(), pattern), {});
}

TEST(StudyPage, HoldsTheDataAsItWasGiven) {
  const Json data = {{"cases", {{{"items_per_s", 1.0 / 3}}}}, {"drift", nullptr}, {"a", "b\\<\"&"}};
  EXPECT_EQ(Json::parse(data_of(page_of(data))), data);
}

TEST(StudyPage, TextOfOthersEndsNoScriptAndOpensNoComment) {
  const Json data = {{"</script><script>alert(1)</script>", "<!--<script>"},
                     {"@policy@", "</SCRIPT >"},
                     {"@data@", "<img src=x onerror=alert(1)>"}};
  const std::string page = page_of(data);
  EXPECT_THAT(data_of(page), Not(HasSubstr("<")));
  EXPECT_EQ(Json::parse(data_of(page)), data);
  EXPECT_EQ(count(page, "<script"), 2);  // the data and the one that draws it
  EXPECT_EQ(count(page, "<!--"), 0);
}

TEST(StudyPage, MakesNoMarkupOfAText) {
  for (const char* way :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("})
    EXPECT_THAT(page_of({}), Not(HasSubstr(way)));
}

TEST(StudyPage, IsOneFileThatFetchesNothing) {
  const std::string page = page_of({});
  EXPECT_THAT(page, HasSubstr("default-src 'none'; script-src 'sha256-"));
  for (const char* outside : {"unsafe-inline", "<link", "<img", "<iframe", " src=", "@import",
                              "url(", "fetch(", "@charts", "@policy@", "@data@"})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  // No address but the name of a namespace.
  EXPECT_EQ(count(page, "//www"), 1);
  EXPECT_EQ(count(page, "https?://"), 1);
  EXPECT_THAT(page, HasSubstr("\"http://www.w3.org/2000/svg\""));
}

}  // namespace
}  // namespace retinue::study
