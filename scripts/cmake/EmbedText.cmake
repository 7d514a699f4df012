# cmake -DFROM=page.html -DTO=page.cpp -DNAME=kPage -P EmbedText.cmake: a text file as a C++ string.
file(READ "${FROM}" text)
if(text MATCHES "\\)embed\"")
  message(FATAL_ERROR "${FROM} holds what ends a raw string here; choose another mark in EmbedText.cmake")
endif()
file(WRITE "${TO}" "#include \"runtime/monitor/page.h\"\n\nnamespace retinue::runtime {\nconst std::string_view ${NAME} =\n    R\"embed(${text})embed\";\n}  // namespace retinue::runtime\n")
