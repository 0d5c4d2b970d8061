# A repository: objects, packs, locks, renames, a clone.
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
git init -q -b main repository; cd repository
for i in $(seq 1 50); do seq 1 $((i * 10)) > "file$i"; done
git add . && git commit -q -m first && git log --format=%H
git mv file1 renamed && echo change >> file2 && git commit -qam second
git log --format='%h %s' && git diff --stat HEAD~1 | tail -n 1
git branch side && git checkout -q side && echo side > side && git add side && git commit -qm side
git checkout -q main && echo main > other && git add other && git commit -qm main && git merge -q --no-edit side
git log --oneline | wc -l; git gc -q; git fsck 2>&1 | sort
cd .. && git clone -q repository clone && git -C clone status --short && git -C clone rev-parse HEAD
