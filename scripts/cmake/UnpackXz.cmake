# cmake -DXZ=… -DFROM=x.xz -DTO=x -DSHA256=… -P UnpackXz.cmake: unpacks one file and checks its SHA-256.
get_filename_component(folder "${TO}" DIRECTORY)
file(MAKE_DIRECTORY "${folder}")
execute_process(COMMAND "${XZ}" -dc "${FROM}" OUTPUT_FILE "${TO}.part" COMMAND_ERROR_IS_FATAL ANY)
file(SHA256 "${TO}.part" found)
if(NOT found STREQUAL SHA256)
  message(FATAL_ERROR "${FROM}: wanted sha256 ${SHA256}, got ${found}. Copy the file again.")
endif()
file(RENAME "${TO}.part" "${TO}")
