# Services are reached from here, too.
exec 3<>/dev/tcp/web/80
echo "Hello $1 from $INPUT_WHO with $OF_ACTION"
echo time=now >>"$GITHUB_OUTPUT"
touch /github/workspace/made
