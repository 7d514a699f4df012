# cmake -DFROM=page.html -DCHARTS=FOLDER -DTO=page.cpp -DNAME=retinue::runtime::kPage -P EmbedText.cmake
# Turns a page into a C++ string, with CHARTS/charts.css and CHARTS/charts.js in place of their marks.
file(READ "${FROM}" text)
foreach(part charts.css charts.js)
  file(READ "${CHARTS}/${part}" shared)
  string(REPLACE "@${part}@\n" "${shared}" text "${text}")
endforeach()
if(text MATCHES "\\)embed\"")
  message(FATAL_ERROR "${FROM} contains the end mark of a raw string; choose another mark in EmbedText.cmake")
endif()
string(REGEX MATCH "^(.*)::([^:]+)$" whole "${NAME}")
file(WRITE "${TO}" "#include <string_view>\n\nnamespace ${CMAKE_MATCH_1} {\nextern const std::string_view ${CMAKE_MATCH_2};\nconst std::string_view ${CMAKE_MATCH_2} =\n    R\"embed(${text})embed\";\n}  // namespace ${CMAKE_MATCH_1}\n")
