# Expansion, pipelines, here-documents, redirections, exit statuses.
echo "hello $((6 * 7))"
printf '%s\n' one two three | sort -r | while read -r word; do echo "<$word>"; done
cat <<END
here-document in $(basename "$WORK" | cut -c1-12)
END
echo content > file; cat < file; echo more >> file; wc -l < file
(exit 3) || echo "subshell said $?"
sh -c 'kill -TERM $$' || echo "killed: $?"
/nonexistent/program 2> /dev/null || echo "missing: $?"
test -x /bin/sh && test ! -w /proc/version || echo "root may write"
echo "${PWD##*/}" | wc -c
