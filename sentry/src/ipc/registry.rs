//! Objects by id and key.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use spin::mutex::SpinMutex;

use super::Permission;
use crate::{
    errno::{Errno, Result},
    kernel::Credentials,
};

/// IPC_CREAT.
pub const CREATE: u32 = 0o1000;
/// IPC_EXCL.
const EXCLUSIVE: u32 = 0o2000;
/// IPC_PRIVATE.
const PRIVATE: i32 = 0;

/// Places of one sequence number (IPCMNI of Linux).
const PLACES: u32 = 32768;
/// Sequence numbers before they repeat.
const SEQUENCES: u32 = 32768;

/// The sequence number in an id.
pub(super) fn sequence_of(id: i32) -> u16 {
    u16::try_from(id.unsigned_abs() / PLACES).unwrap_or(u16::MAX)
}

/// What a registry holds.
pub trait Object {
    /// Owner and mode. A leaf lock.
    fn permission(&self) -> &SpinMutex<Permission>;
}

/// All objects of one kind. The lock comes before those of the objects.
pub struct Registry<T> {
    objects: SpinMutex<Objects<T>>,
}

struct Objects<T> {
    /// Sequence number and object, by place.
    places: BTreeMap<u32, (u32, Arc<T>)>,
    keys: BTreeMap<i32, u32>,
    next_sequence: u32,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        let objects = Objects { places: BTreeMap::new(), keys: BTreeMap::new(), next_sequence: 0 };
        Self { objects: SpinMutex::new(objects) }
    }
}

impl<T: Object> Registry<T> {
    /// The id of the object with `key`, made if `flags` say so and there are fewer than `most`
    /// (shmget(2), semget(2), msgget(2)).
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES, ENOSPC; what `fits` says of an existing object and `make` of a new
    /// one.
    pub fn get(
        &self,
        key: i32,
        flags: u32,
        credentials: &Credentials,
        most: usize,
        fits: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(Permission) -> Result<T>,
    ) -> Result<i32> {
        let mut objects = self.objects.lock();
        if let Some((id, object)) = objects.by_key(key) {
            if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                return Err(Errno::EEXIST);
            }
            object.permission().lock().check(credentials, flags)?;
            fits(&object)?;
            return Ok(id);
        }
        if key != PRIVATE && flags & CREATE == 0 {
            return Err(Errno::ENOENT);
        }
        if objects.places.len() >= most {
            return Err(Errno::ENOSPC);
        }
        let object = make(Permission::new(key, flags, credentials))?;
        objects.insert(key, Arc::new(object))
    }

    /// The object with this id.
    ///
    /// # Errors
    /// EINVAL if it never was, EIDRM if it was removed.
    pub fn find(&self, id: i32) -> Result<Arc<T>> {
        let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        let objects = self.objects.lock();
        match objects.places.get(&(id % PLACES)) {
            Some((sequence, object)) if *sequence == id / PLACES => Ok(object.clone()),
            Some(_) => Err(Errno::EIDRM),
            None => Err(Errno::EINVAL),
        }
    }

    /// The object at a place, with its id (SHM_STAT and the like).
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn at(&self, place: i32) -> Result<(i32, Arc<T>)> {
        let place = u32::try_from(place).map_err(|_| Errno::EINVAL)?;
        let objects = self.objects.lock();
        let (sequence, object) = objects.places.get(&place).ok_or(Errno::EINVAL)?;
        Ok((id_of(place, *sequence), object.clone()))
    }

    /// All objects with their ids.
    pub fn all(&self) -> Vec<(i32, Arc<T>)> {
        let objects = self.objects.lock();
        let one = |(place, (sequence, object)): (&u32, &(u32, Arc<T>))| {
            (id_of(*place, *sequence), object.clone())
        };
        objects.places.iter().map(one).collect()
    }

    /// The highest place in use; 0 if there is none (IPC_INFO).
    pub fn highest_place(&self) -> u64 {
        self.objects.lock().places.last_key_value().map_or(0, |(place, _)| u64::from(*place))
    }

    /// Takes an object out, if it is there.
    pub fn remove(&self, id: i32, object: &Arc<T>) {
        self.hide(object);
        let place = id.unsigned_abs() % PLACES;
        let mut objects = self.objects.lock();
        if objects.places.get(&place).is_some_and(|(_, known)| Arc::ptr_eq(known, object)) {
            let _gone = objects.places.remove(&place);
        }
    }

    /// Lets an object no longer be found by its key.
    pub fn hide(&self, object: &Arc<T>) {
        let key = core::mem::replace(&mut object.permission().lock().key, PRIVATE);
        self.objects.lock().keys.remove(&key);
    }
}

impl<T> Objects<T> {
    fn by_key(&self, key: i32) -> Option<(i32, Arc<T>)> {
        let place = self.keys.get(&key)?;
        let (sequence, object) = self.places.get(place)?;
        Some((id_of(*place, *sequence), object.clone()))
    }

    fn insert(&mut self, key: i32, object: Arc<T>) -> Result<i32> {
        let free = (0..PLACES).find(|place| !self.places.contains_key(place));
        let place = free.ok_or(Errno::ENOSPC)?;
        let sequence = self.next_sequence;
        // Each new object makes the ids before it old.
        self.next_sequence = (sequence + 1) % SEQUENCES;
        self.places.insert(place, (sequence, object));
        if key != PRIVATE {
            self.keys.insert(key, place);
        }
        Ok(id_of(place, sequence))
    }
}

/// An id; never negative.
fn id_of(place: u32, sequence: u32) -> i32 {
    (sequence * PLACES + place).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(SpinMutex<Permission>);

    impl Object for Thing {
        fn permission(&self) -> &SpinMutex<Permission> {
            &self.0
        }
    }

    fn get(registry: &Registry<Thing>, key: i32, flags: u32) -> Result<i32> {
        let make = |permission| Ok(Thing(SpinMutex::new(permission)));
        registry.get(key, flags, &Credentials::kernel(), 2, |_| Ok(()), make)
    }

    #[test]
    fn keys_lead_to_objects_and_old_ids_do_not() {
        let registry = Registry::default();
        assert_eq!(get(&registry, 7, 0o600), Err(Errno::ENOENT));
        let id = get(&registry, 7, CREATE | 0o600).unwrap();
        assert_eq!(get(&registry, 7, CREATE), Ok(id));
        assert_eq!(get(&registry, 7, CREATE | EXCLUSIVE), Err(Errno::EEXIST));
        let object = registry.find(id).unwrap();
        registry.remove(id, &object);
        assert_eq!(registry.find(id).err(), Some(Errno::EINVAL));
        let again = get(&registry, 7, CREATE).unwrap();
        assert_ne!(again, id);
        assert_eq!(registry.find(id).err(), Some(Errno::EIDRM));
        assert_ne!(get(&registry, PRIVATE, 0), Ok(again));
        assert_eq!(get(&registry, PRIVATE, 0), Err(Errno::ENOSPC));
    }
}
