# Processes, pipes, sockets and signals from Perl.
perl -e '
use strict; use warnings; use Socket; use POSIX ":sys_wait_h";
my %count; $count{$_ % 7}++ for 1..10000; print join(",", map { "$_=$count{$_}" } sort keys %count), "\n";
pipe(my $reader, my $writer); my $pid = fork(); 
if (!$pid) { close $reader; print $writer "from the child\n"; close $writer; exit 7 }
close $writer; print scalar <$reader>; waitpid($pid, 0); print "status ", $? >> 8, "\n";
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; syswrite $a, "ping"; sysread $b, my $got, 10; print "$got\n";
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select(undef, undef, undef, 5); 
my $out = `echo backticks`; print $out; print "done\n";
'
