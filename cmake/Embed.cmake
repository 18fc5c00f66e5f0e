# embed_files(TARGET DIR GLOB): an object library with each file as bytes, listed in file-name order in
#   extern const struct embedded_file TARGET[]; extern const size_t TARGET_count;   (base/embed.h)
function(embed_files target dir glob)
  file(GLOB files CONFIGURE_DEPENDS ${dir}/${glob})
  list(SORT files)
  set(out ${CMAKE_BINARY_DIR}/embed/${target}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAME=${target} "-DFILES=${files}" -P ${CMAKE_SOURCE_DIR}/cmake/EmbedRun.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/EmbedRun.cmake VERBATIM)
  add_library(${target} STATIC ${out})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/common)
  target_link_libraries(${target} PRIVATE credswap_sanitizers credswap_hardening)
endfunction()
